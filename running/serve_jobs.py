"""Photos that the live page is given: the main job explains one after the other, as a process each.

    jobs = Jobs(Path("Results"))
    job = jobs.submit(content, JobOptions(name="my dog.jpg", search="diverse"), network)
    jobs.list()         # each with its state, what it is at, and its result
    jobs.close()

The main job runs as in a terminal (a pty), so that its progress can be read; it does all checks of
its options, and says in one line what is wrong.
"""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image

from running.result_folders import require_below
from running.serve_networks import NamedNetwork
from scoring.image_files import UNREADABLE_IMAGE
from utils import PROJECT, UserError, write_atomically

MAIN_JOB = (sys.executable, str(PROJECT / "main_generate_sag.py"))
LIVE = "live"  # folder below the results
MOST_BYTES = 30_000_000  # of a photo
MOST_PIXELS = 100_000_000
MOST_JOBS = 100  # that are waiting
END_SECONDS = 20  # that an interrupted job may take to put away what it has
ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "WEBP": ".webp"}
SEARCHES = ("beam", "combinatorial", "exhaustive", "diverse")
BASELINES = ("black", "blur", "mean", "median", "mixed")
LINE_ENDS = re.compile(r"[\r\n]+")
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
BAR = re.compile(r"^(?P<what>.*?):? *\d+ sets \[")  # of an image
OPENING = re.compile(r" on \w+, 1 images; .*")  # what follows are the options and their paths
IMAGES_BAR = re.compile(r"^images: +\d+%")
FAILED = re.compile(r"^(?:failed: [^:]*: |main_generate_sag\.py: error: (?:argument )?)(?P<why>.*)")
MOST_COLUMNS = 300

State = Literal["waiting", "running", "done", "failed", "stopped"]


@dataclass(frozen=True)
class JobOptions:
    """What a visitor chose.

    Attributes:
        name: of the photo's file.
        category: index or name of the class; "": the most probable one.
        search: how explanations are looked for.
        baseline: what hides a patch.
    """

    name: str
    category: str = ""
    search: str = "beam"
    baseline: str = "black"

    def arguments(self) -> list[str]:
        """Return them as options of the main job.

        Raises:
            UserError: there is no such search or baseline.
        """
        if self.search not in SEARCHES:
            raise UserError(f"{self.search!r} is none of {', '.join(SEARCHES)}")
        if self.baseline not in BASELINES:
            raise UserError(f"{self.baseline!r} is none of {', '.join(BASELINES)}")
        chosen = [f"--search={self.search}", f"--baseline={self.baseline}"]
        if self.category.strip():
            chosen.append(f"--category={self.category.strip()}")
        return chosen


@dataclass(eq=False)
class Job:
    """One photo.

    Attributes:
        number: 1, 2, ..
        name: of the photo in the uploads.
        arguments: of the main job.
        state: what became of it so far.
        line: what it is at, or why it failed.
        folder: of its result below the results, once it is done.
    """

    number: int
    name: str
    arguments: Sequence[str]
    state: State = "waiting"
    line: str = ""
    folder: str = ""
    process: subprocess.Popen | None = None
    _reasons: list[str] = field(default_factory=list)

    def hear(self, text: str) -> None:
        """Note a line of the main job."""
        text = CONTROLS.sub("", text).strip()
        bar = BAR.match(text)
        failed = FAILED.match(text)
        if failed:
            self._reasons.append(failed["why"])
        if bar:
            self.line = bar["what"].strip() or "at work"
        elif text and not failed and not IMAGES_BAR.match(text):
            self.line = OPENING.sub("", text)[:MOST_COLUMNS]

    def end(self, status: int) -> None:
        """Note how the main job has ended."""
        if self.state == "stopped":
            self.line = "stopped"
        elif status == 0:
            self.state = "done"
            self.line = ""
        else:
            self.state = "failed"
            self.line = self._reasons[0] if self._reasons else _why_it_ended(status, self.line)


def _why_it_ended(status: int, last: str) -> str:
    if status < 0:
        return f"the job's process was killed ({signal.Signals(-status).name})"
    return f"the job ended with status {status}: {last}"


class Jobs:
    """Photos in the order in which they came; one is explained at a time.

    Args:
        results: the results folder; all is written to its folder "live".
        device: that the main job runs on.
        program: that is started for each job.
    """

    def __init__(self, results: Path, device: str = "auto", program: Sequence[str] = MAIN_JOB):
        self.program = program
        self.results = results
        self.uploads = results / LIVE / "uploads"
        self.explained = results / LIVE / "explained"
        self.device = device
        self._jobs: list[Job] = []
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def submit(self, content: bytes, options: JobOptions, network: NamedNetwork) -> Job:
        """Keep a photo and queue its job.

        Raises:
            UserError: it is no photo, or an option cannot be used.
            OSError: it cannot be kept.
        """
        chosen = options.arguments()
        ending = ending_of(content)
        with self._changed:
            if sum(job.state == "waiting" for job in self._jobs) >= MOST_JOBS:
                raise UserError(f"{MOST_JOBS} photos are waiting already")
            path = self._keep(content, options.name, ending)
            # The job's folder is the upload's name, which is new: no earlier result is replaced.
            places = [f"--images={path}", f"--results={self.explained}", f"--device={self.device}"]
            arguments = [*places, *network.arguments(), *chosen]
            job = Job(len(self._jobs) + 1, path.name, arguments)
            self._jobs.append(job)
            self._changed.notify_all()
        if not self._thread.ident:
            self._thread.start()
        return job

    def list(self) -> Sequence[Job]:
        """Return all jobs, the newest first."""
        with self._changed:
            return self._jobs[::-1]

    def stop(self, number: int) -> None:
        """Take a job out of the queue, or interrupt it.

        Raises:
            UserError: there is no such job.
        """
        with self._changed:
            job = next((job for job in self._jobs if job.number == number), None)
            if job is None:
                raise UserError(f"there is no job {number}")
            if job.state not in ("waiting", "running"):
                return
            job.state = "stopped"
            job.line = "stopping" if job.process else "stopped"
            if job.process:
                _signal(job.process, signal.SIGINT)

    def close(self) -> None:
        """Take all jobs out of the queue, interrupt the one that runs, and wait for it."""
        with self._changed:
            self._is_closed = True
            open_jobs = [job for job in self._jobs if job.state in ("waiting", "running")]
            self._changed.notify_all()
        for job in open_jobs:
            self.stop(job.number)
        for job in open_jobs:
            if job.process is None:
                continue
            try:
                job.process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                _signal(job.process, signal.SIGKILL)
                job.process.wait()

    def _keep(self, content: bytes, name: str, ending: str) -> Path:
        """Write a photo under a name of its own; return its path."""
        self.uploads.mkdir(parents=True, exist_ok=True)
        require_below(self.uploads, self.results)
        taken = {path.stem for path in self.uploads.iterdir()}
        taken |= {path.name for path in self.explained.glob("*")}
        stem = next(stem for stem in _stems(name) if stem not in taken)
        path = self.uploads / f"{stem}{ending}"
        write_atomically(path, content)
        return path

    def _work(self) -> None:
        """Run job after job, until close()."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed or self._next() is not None)
                job = self._next()
                if self._is_closed or job is None:
                    return
                job.state = "running"
                job.line = "starting"
            try:
                self._run(job)
            except OSError as error:
                job.state = "failed"
                job.line = f"the job could not be started: {error.strerror}"

    def _next(self) -> Job | None:
        return next((job for job in self._jobs if job.state == "waiting"), None)

    def _run(self, job: Job) -> None:
        """Run a job and follow what it says."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, MOST_COLUMNS, 0, 0))
        try:
            command = [*self.program, *job.arguments]
            with self._changed:
                if job.state == "stopped":
                    job.line = "stopped"
                    return
                job.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=theirs,
                    stderr=theirs,
                    start_new_session=True,  # Ctrl-C is the server's
                )
            with suppress(OSError, AttributeError):
                os.setpriority(os.PRIO_PROCESS, job.process.pid, 10)  # clicks come first
            os.close(theirs)
            theirs = -1
            for line in _lines(ours):
                job.hear(line)
            status = job.process.wait()
            if status == 0:
                job.folder = self._folder_of(job)
            job.end(status)
        finally:
            os.close(ours)
            if theirs >= 0:
                os.close(theirs)

    def _folder_of(self, job: Job) -> str:
        """Return the result's folder below the results."""
        folder = self.explained / Path(job.name).stem
        return folder.relative_to(self.results).as_posix()


def ending_of(content: bytes) -> str:
    """Return the ending of a photo's file, by its content.

    Raises:
        UserError: it is no photo that the main job reads.
    """
    if len(content) > MOST_BYTES:
        raise UserError(f"the photo has more than {MOST_BYTES / 1e6:.0f} MB")
    try:
        with Image.open(BytesIO(content), formats=list(ENDINGS)) as image:
            width, height = image.size
            ending = ENDINGS[image.format or ""]
    except (*UNREADABLE_IMAGE, KeyError):
        raise UserError("not an image (JPEG, PNG, BMP or WebP)") from None
    if width * height > MOST_PIXELS:
        raise UserError(f"the photo has more than {MOST_PIXELS / 1e6:.0f} million pixels")
    return ending


def _stems(name: str) -> Iterator[str]:
    """Yield names for a file, without endings, that any disk takes."""
    stem = re.sub(r"[^\w-]+", "_", Path(name.replace("\\", "/")).stem).strip("_-")[:60] or "photo"
    yield stem
    number = 2
    while True:
        yield f"{stem}_{number}"
        number += 1


def _lines(terminal: int) -> Iterator[str]:
    """Yield what comes from a terminal, line by line, until the process has ended."""
    rest = ""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # the other side is closed
            chunk = b""
        if not chunk:
            yield rest
            return
        *whole, rest = LINE_ENDS.split(rest + chunk.decode("utf-8", "replace"))
        yield from whole
        if BAR.match(CONTROLS.sub("", rest).strip()):  # a bar ends with its next state
            yield rest


def _signal(process: subprocess.Popen, number: int) -> None:
    with suppress(OSError):
        process.send_signal(number)
