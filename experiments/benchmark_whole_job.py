"""The benchmark's whole job: the main job over all images, as a user runs it.

    whole = measure_whole_job(engine, images, search="beam", precision="auto")
    whole.seconds / len(whole.rows)

Images are read ahead, explained, and drawn by the main job's own pool of processes, into a folder
that is removed afterwards. Loading the network and measuring its best batch size, once a run, are
not in it.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from experiments.benchmark_result import STEPS, WholeJob, WholeJobRow
from main_generate_sag import FolderExplainer, LoadedImage, Settings, plan_of
from running.command_line import Precision
from running.record_files import RECORD, read_record
from running.result_folders import NamedImage
from running.results import Job, make_jobs
from running.this_process import in_this_process
from scoring.engine import Engine
from utils import UserError


@dataclass
class TimedLoading:
    """Reads images and notes how long that takes.

    Attributes:
        explainer: of the main job.
        seconds: by the image's name.
    """

    explainer: FolderExplainer
    seconds: dict[str, float] = field(default_factory=dict)

    def load(self, job: Job) -> LoadedImage:
        """Read an image."""
        start = time.monotonic()
        loaded = self.explainer.load(job)
        self.seconds[job.name] = time.monotonic() - start
        return loaded


def measure_whole_job(
    engine: Engine,
    images: Sequence[NamedImage],
    *,
    search: Literal["beam", "diverse"],
    precision: Precision,
) -> WholeJob:
    """Explain and draw all images and return how long that took.

    Args:
        engine: of the side as shipped.
        images: files, and their names in the result.
        search: as in the main job's settings.
        precision: likewise.

    Raises:
        UserError: an image failed.
    """
    paths = [image.path.resolve() for image in images]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            images=root,
            results=Path(folder),
            search=search,
            precision=precision,
            model="benchmark",
            what_if_sets=0,  # the sides that it is compared with ask none
        )
        explainer = FolderExplainer(engine, settings)
        loading = TimedLoading(explainer)
        plan = plan_of(settings, engine.network.device.type, images=len(images))
        jobs = make_jobs(paths, root=root, results=Path(folder))
        start = time.monotonic()
        outcomes = list(
            in_this_process(jobs, loading.load, explainer.explain, engine=engine, plan=plan)
        )
        seconds = time.monotonic() - start
        lines = {outcome.name: outcome.line for outcome in outcomes}
        rows = [
            _row(job, image.name, load_seconds=loading.seconds[job.name], line=lines[job.name])
            for job, image in zip(jobs, images)
        ]
    return WholeJob(seconds=seconds, images_at_once=plan.images_at_once, rows=rows)


def _row(job: Job, name: str, *, load_seconds: float, line: str) -> WholeJobRow:
    """Return the seconds of an image of this name, from its record.

    Raises:
        UserError: it has none; the line of its outcome says why.
    """
    sag = read_record(job.folder / RECORD)
    if sag is None:
        raise UserError(f"{name}: {line}")
    stages = {step: getattr(sag.seconds, step) for step in STEPS}
    return WholeJobRow(
        image=name,
        stages={"load": load_seconds, **stages, "draw": sag.seconds.draw},
    )
