"""How good are estimates of sets that were not scored, and what does asking ahead bring?

    python -m experiments.estimate_study Results/estimates --scenes 100
    python -m experiments.estimate_study Results/estimates --images photos --model resnet18

Each image is explained with the diverse search and with the beam, and some 250 fresh sets are
scored: the random ones of the simulated study's pairs, and the whole less one to six patches
(experiments/estimate_samples.py). Models and heat maps (experiments/estimate_models.py) then read
the records and are asked about the fresh sets. What is measured is kept, a file per image.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from running.command_line import Between, Count, Device, Positional, exit_status, parse

PROG = "experiments.estimate_study"


@dataclass(frozen=True)
class Settings:
    """Measure and compare estimates."""

    results: Annotated[Path, Positional("RESULTS")]  # a folder for measurements and tables
    scenes: Annotated[int, Between(1, 1_000_000)] = 100  # of the bundled world, without --images
    seed: Annotated[int, Between(0, 2**32 - 1)] = 16  # of the scenes and of the images' order
    images: Path | None = None  # a folder of images; without it scenes are drawn
    most_images: Count | None = None  # only so many of them
    model: str = "birds"  # birds, torchvision's, timm/NAME, hf/NAME, or FILE.py:function
    weights: Path | None = None  # a state_dict, .pth or .safetensors; else the model's own
    device: Device = "auto"  # what to run on
    tables_only: bool = False  # measure nothing; tables of what is there


if __name__ == "__main__":  # before PyTorch is imported, so that --help answers at once
    parse(Settings, prog=PROG, doc=__doc__)

import msgspec
import numpy as np
from tqdm import tqdm

from experiments.estimate_samples import BUDGETS, SEARCHES, Sample, collect
from experiments.estimate_tables import all_tables
from experiments.images import Subject, drawn_scenes, from_folder
from experiments.table_files import write_tables
from scoring.engine import Engine
from scoring.networks import BUNDLED, Network, choose_device, load_network
from scoring.speed import UNMEASURED
from utils import UserError, log


def run(settings: Settings) -> int:
    """Measure what is not there yet, then write tables.md and the tables' files."""
    folder = settings.results / "samples"
    if not settings.tables_only:
        network = load_network(
            settings.model, settings.weights, device=choose_device(settings.device)
        )
        engine = Engine(network, precision="float32", batch_size=UNMEASURED)
        for subject in tqdm(
            subjects_of(settings, network), desc="images", unit="image", disable=None
        ):
            collect(engine, subject, folder)
    samples = read_samples(folder)
    if not samples:
        raise UserError(f"{folder}: nothing was measured there")
    title = f"Estimates, {settings.model}, {len(samples)} images"
    write_tables(all_tables(samples, SEARCHES, BUDGETS), title, folder=settings.results)
    log(f"{settings.results / 'tables.md'}")
    return 0


def subjects_of(settings: Settings, network: Network) -> list[Subject]:
    """Return the images that the settings name, those of a folder in a seeded random order."""
    if settings.images is None:
        if settings.model != BUNDLED:
            raise UserError(f"--model {settings.model}: give --images")
        return drawn_scenes(settings.scenes, settings.seed)
    subjects = from_folder(settings.images, None, labels=network.labels, leave_out=settings.results)
    order = np.random.default_rng(settings.seed).permutation(len(subjects)).tolist()
    return [subjects[i] for i in order][: settings.most_images]


def read_samples(folder: Path) -> list[Sample]:
    """Return all samples that were measured."""
    paths = sorted(folder.rglob("*.json"))
    return [msgspec.json.decode(path.read_bytes(), type=Sample) for path in paths]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    return exit_status(PROG, lambda: run(parse(Settings, argv, prog=PROG, doc=__doc__)))


if __name__ == "__main__":
    sys.exit(main())
