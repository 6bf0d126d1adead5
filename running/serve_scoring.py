"""The network behind the live page: answers sets, in a process that may die.

    scoring = LiveScoring(WorkerSettings(model=None, images=None, device="auto"))
    scoring.open(record)                        # "resnet18": its network is loaded
    scoring.score(record, [(11, 30)])           # [0.9676], from the table where it is known
    scoring.close()

The process is started when it is needed, and anew after it has died. PyTorch is not imported here.
"""

import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from running.serve_messages import Answer, Ask, WorkerSettings
from running.serve_records import LiveRecord
from scoring.patch_sets import PatchSet
from utils import PROJECT, UserError

ANSWER_SECONDS = 120  # that loading a network or answering a batch may take
END_SECONDS = 0.5  # then it is killed; it has nothing to put away
START = "import sys; sys.path.insert(0, {project!r}); from running.serve_worker import main; main()"


class LiveScoring:
    """See the module's docstring.

    Attributes:
        passes: number of sets that the network was shown.

    Args:
        settings: of the process.
        seconds: that an answer may take.
    """

    def __init__(self, settings: WorkerSettings, seconds: float = ANSWER_SECONDS):
        self.settings = settings
        self.seconds = seconds
        self.passes = 0
        self._process: subprocess.Popen | None = None
        self._lock = threading.Lock()  # one ask at a time

    def start(self) -> None:
        """Start the process, so that PyTorch is imported by the time it is needed."""
        with self._lock:
            self._running()

    def open(self, record: LiveRecord) -> str:
        """Load a record's network; return its name.

        Raises:
            UserError: it cannot be loaded, or is not the record's.
        """
        return self._ask(record, []).network

    def score(self, record: LiveRecord, sets: Sequence[PatchSet]) -> list[float]:
        """Return the probability of each set; the network is asked about those not known yet.

        Raises:
            UserError: the network cannot be loaded, fails, or has died.
        """
        unknown = [patches for patches in dict.fromkeys(sets) if patches not in record.table]
        if unknown:
            answer = self._ask(record, unknown)
            record.learn(dict(zip(unknown, answer.probabilities)))
            self.passes += len(unknown)
        return [record.table[patches] for patches in sets]

    def close(self) -> None:
        """End the process."""
        process = self._process
        if process is None:
            return
        with suppress(OSError):
            process.stdin.close()  # type: ignore[union-attr]
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _ask(self, record: LiveRecord, sets: Sequence[PatchSet]) -> Answer:
        with self._lock:
            process = self._running()
            timer = threading.Timer(self.seconds, process.kill)
            timer.start()
            try:
                assert process.stdin and process.stdout  # both are pipes
                pickle.dump(Ask(record.folder, record.identity, sets), process.stdin)
                process.stdin.flush()
                answer = pickle.load(process.stdout)
            except (EOFError, OSError, pickle.UnpicklingError):
                raise UserError(self._why_it_died(process, timer)) from None
            finally:
                timer.cancel()
        if answer.error:
            raise UserError(answer.error)
        return answer

    def _running(self) -> subprocess.Popen:
        """Return the process, started where there is none, or none any more."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", START.format(project=str(PROJECT))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is the server's
            )
            assert self._process.stdin  # a pipe
            pickle.dump(self.settings, self._process.stdin)
        return self._process

    def _why_it_died(self, process: subprocess.Popen, timer: threading.Timer) -> str:
        """Return in one line why the process is gone, and what to do."""
        process.kill()  # where it only answered nonsense
        status = process.wait()
        if not timer.is_alive():
            return (
                f"the network did not answer within {self.seconds:.0f} s; ask again to load it anew"
            )
        reason = f"status {status}"
        if status < 0:
            reason = f"killed by {signal.Signals(-status).name}"
        return f"the network's process has ended ({reason}); ask again to load it anew"
