"""A process that answers sets with the networks of records.

Started by running/serve_scoring.py, which sends a WorkerSettings, then Asks, and is sent an Answer
to each, all pickled, on its standard input and output. The process ends with its input, that is,
with the server, even while it answers. Networks and images on the device stay in memory, a few of
each.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from drawing.record import Sag
from running.failures import why
from running.job_pipe import JobPipe
from running.record_files import load_result
from running.score_set import load_record_network, path_setting, record_case, text_setting
from running.serve_messages import Answer, Ask, WorkerSettings
from scoring.networks import Network, choose_device, runs_code
from scoring.scorer import MaskScorer
from utils import UserError

T = TypeVar("T")
NETWORKS = 2  # in memory
CASES = 8  # images on the device
BATCH_SIZE = 8
TOLERANCE = 1e-3  # between the record's probability of the full image and the network's


@dataclass(frozen=True)
class Loaded:
    """A record that can be asked: its network's name, and the scorer of its image."""

    network: str
    scorer: MaskScorer


class Kept(OrderedDict):
    """The last few things that were made, by key."""

    def __init__(self, most: int):
        super().__init__()
        self.most = most

    def get_or_make(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what the key stands for, made where it is not kept."""
        if key not in self:
            self[key] = make()
            while len(self) > self.most:
                self.popitem(last=False)
        self.move_to_end(key)
        return self[key]


class Worker:
    """Answers asks; see the module's docstring."""

    def __init__(self, settings: WorkerSettings):
        self.settings = settings
        self.device = choose_device(settings.device)
        self.networks = Kept(NETWORKS)
        self.cases = Kept(CASES)

    def answer(self, ask: Ask) -> Answer:
        """Return the answer to an ask; whatever goes wrong is in it, in one line."""
        try:
            key = (ask.folder, ask.identity)
            loaded = self.cases.get_or_make(key, lambda: self.load(ask.folder))
            scores = loaded.scorer(ask.sets).tolist() if ask.sets else []
            return Answer(scores, network=loaded.network)
        except Exception as error:  # whatever a network or a damaged record leads to
            return Answer(error=why(error))
        except SystemExit as error:
            return Answer(error=f"code of the network called exit({error.code!r})")

    def load(self, folder: Path) -> Loaded:
        """Prepare a record's image on the device, once.

        Raises:
            UserError: the network or the image cannot be loaded, or is not the record's.
        """
        result = load_result(folder, self.settings.images)
        sag = result.sag
        network = self.network_of(sag)
        case = record_case(result, network)
        scorer = case.scorer(network.module, batch_size=BATCH_SIZE)
        full = float(scorer([case.everything])[0])
        if abs(full - sag.probability) > TOLERANCE:
            raise UserError(
                f"{network.name} gives the full image {full:.4f}, "
                f"and the record has {sag.probability:.4f}"
            )
        return Loaded(network.name, scorer)

    def network_of(self, sag: Sag) -> Network:
        """Return a record's network; see running/score_set.py for what is refused."""
        recorded = text_setting(sag, "model") or sag.model.name
        model = self.settings.model if runs_code(recorded) else None
        key = (recorded, path_setting(sag, "weights"), path_setting(sag, "labels"), repr(sag.model))
        return self.networks.get_or_make(key, lambda: load_record_network(sag, self.device, model))


def main() -> None:
    """Answer what comes until the input ends."""
    pipe = JobPipe()
    worker = Worker(pipe.next_job())
    while True:
        pipe.answer(worker.answer(pipe.next_job()))
