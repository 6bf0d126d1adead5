"""All images of a run in this process: read ahead, explained on one engine, drawn as they end."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tqdm import tqdm

from running.drawers import RunPlan, drawer_of
from running.failures import why
from running.outcomes import Explain, Loaded, Outcomes
from running.progress import Follower, line_of
from running.results import Job
from scoring.batching import Batching, Finished, Task
from scoring.compilation import CannotCompile
from scoring.devices import failed_for_good
from scoring.engine import Engine
from utils import UserError, log

COMPILE_GAIN = 0.25  # share of a search's time that compiling saves on a CPU
COMPILE_SECONDS = 30  # what compiling costs
OPENVINO_GAIN = 0.07  # share that OpenVINO saves: much of a search is in float32, which it is not
OPENVINO_SECONDS = 5  # what converting costs, with the measurement


def in_this_process(
    jobs: Sequence[Job],
    load: Callable[[Job], Loaded],
    explain: Explain[Loaded],
    *,
    engine: Engine,
    plan: RunPlan,
) -> Outcomes:
    """Explain all images and yield each as it is finished.

    Args:
        jobs: the images.
        load: reads an image; called ahead, in another thread.
        explain: the steps of one of them.
        engine: converted or compiled once enough work is left.
        plan: how many at once, and how they are drawn.
    """
    followers: dict[Job, Follower] = {}
    pace = Pace(engine)
    left = len(jobs)
    with (
        tqdm(unit=" sets", position=1, leave=False, disable=None) as bar,
        drawer_of(plan) as drawer,
    ):
        batching = Batching(engine, plan.images_at_once, on_batch=BatchBar(bar, followers))
        try:
            for finished in batching.run(_tasks(jobs, load, explain, followers, plan)):
                followers.pop(finished.key)
                _raise_if_lost(finished, engine)
                yield from drawer.take(finished)
                left -= 1
                pace.note(finished)
                pace.speed_up_if_it_pays(left)
        except (KeyboardInterrupt, UserError):
            yield from drawer.rest()  # what is explained is drawn, which takes seconds
            raise
        yield from drawer.rest()


def _raise_if_lost(finished: Finished, engine: Engine) -> None:
    """End the run where the device has failed for good.

    Raises:
        UserError: naming the device.
    """
    if finished.error and failed_for_good(finished.error, engine.device):
        raise UserError(f"device {engine.device}: it has failed ({why(finished.error)})")


def _tasks(
    jobs: Sequence[Job],
    load: Callable[[Job], Loaded],
    explain: Explain[Loaded],
    followers: dict[Job, Follower],
    plan: RunPlan,
) -> Iterator[Task]:
    """Yield the images' tasks; so many images as are worked on at once are read ahead."""
    with ThreadPoolExecutor(1) as reader:
        ahead = deque(reader.submit(load, job) for job in jobs[: plan.images_at_once + 1])
        try:
            for place, job in enumerate(jobs):
                loaded = ahead.popleft()
                following = place + plan.images_at_once + 1
                if following < len(jobs):
                    ahead.append(reader.submit(load, jobs[following]))
                followers[job] = Follower()
                yield Task(job, explain(job, loaded.result, followers[job]))
        finally:
            reader.shutdown(cancel_futures=True)


@dataclass
class BatchBar:
    """Shows on a progress bar what the images in flight are at, after each batch."""

    bar: tqdm
    followers: Mapping[Job, Follower]

    def __call__(self, masks: int) -> None:
        """Count the masks of a batch."""
        if self.bar.disable:
            return
        self.bar.set_description_str(line_of(self.followers.values()), refresh=False)
        self.bar.update(masks)


class Pace:
    """How long searches take, and whether making the network faster would pay."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.search_seconds: list[float] = []

    def note(self, finished: Finished) -> None:
        """Note how long an image's search took."""
        if finished.value is not None and finished.value.is_new:
            seconds = sum(sag.seconds.search for sag in finished.value.sags)
            self.search_seconds.append(seconds)

    def speed_up_if_it_pays(self, images_left: int) -> None:
        """Convert or compile the network once the searches that are left would take long enough."""
        if not self.search_seconds:
            return
        seconds_left = images_left * sum(self.search_seconds) / len(self.search_seconds)
        engine = self.engine
        if engine.worth_converting and seconds_left * OPENVINO_GAIN >= OPENVINO_SECONDS:
            self._convert(images_left)
        is_open = engine.worth_compiling and not engine.compiled
        if is_open and seconds_left * COMPILE_GAIN >= COMPILE_SECONDS:
            self._compile(images_left)

    def _convert(self, images_left: int) -> None:
        start = time.monotonic()
        try:
            is_faster = self.engine.use_openvino()
        except CannotCompile:  # it was not asked for
            return
        if is_faster:
            seconds = time.monotonic() - start
            log(f"converted in {seconds:.0f} s: {self.engine.description()}")

    def _compile(self, images_left: int) -> None:
        start = time.monotonic()
        try:
            self.engine.compile()
        except CannotCompile as error:
            log(f"not compiled, going on without ({error})")
            return
        seconds = time.monotonic() - start
        log(f"compiled the network in {seconds:.0f} s, as {images_left} images are left")
