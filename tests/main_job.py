"""Runs of the main job in this process on planted networks, and readers of what they leave."""

import csv
import os
from pathlib import Path

from drawn import read_sag
from PIL import Image

import main_generate_sag
from running import drawing_process
from running import results as result_files
from running.check_record import problems
from running.drawing_pool import DrawingPool
from scoring.networks import load_network
from utils import PROJECT

NETWORKS = PROJECT / "tests/planted.py"
ROOTS = {(5,), (6, 10), (1, 8, 14)}  # every MSE of planted.network on a white image
WHITE_IMAGES = ("a.png", "birds/b.png", "birds/c d é.png")
FLOAT32 = ("--precision", "float32")


def run(*options):
    """Run the main job; return its exit status."""
    try:
        return main_generate_sag.main([str(option) for option in options])
    except SystemExit as end:  # an option that cannot be read
        return end.code


def planted_options(images, results, *options, network="network"):
    """Return options for class 1 of a planted network on a 4 x 4 grid."""
    paths = ("--images", images, "--results", results, "--model", f"{NETWORKS}:{network}")
    return (*paths, "--category", 1, "--grid", 4, "--device", "cpu", *options)


def run_planted(images, results, *options, network="network"):
    """Explain class 1 of a planted network on a 4 x 4 grid; return the exit status."""
    return run(*planted_options(images, results, *options, network=network))


def search_planted(images, results, *options, network="network"):
    """Explain class 1 of a planted network as run_planted does, without figures."""
    return run_planted(images, results, "--pictures", "none", *options, network=network)


def draw_nothing(patch):
    """Have runs of this process keep their records without drawing, also those of several images.

    Args:
        patch: a MonkeyPatch; where it is undone, runs draw again.
    """
    patch.setattr(result_files, "draw_all", lambda *_, **__: None)
    patch.setattr(DrawingPool, "_draw", lambda _, drawing: drawing_process.draw(drawing))


def make_white_images(folder):
    """Write three white images into a folder, two of them into a sub-folder; return the folder."""
    for name in WHITE_IMAGES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), "white").save(path)
    return folder


def roots_of(folder):
    """Return the patch sets of a result folder's roots."""
    return {root.patches for root in read_sag(folder).roots}


def rows_of(results):
    """Return the rows of a run's summary."""
    with open(results / "summary.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def records_in(results):
    """Return the path of every record below a folder, sorted.

    A run may be at work there: a folder that vanishes meanwhile has none (rglob would raise).
    """
    folders = os.walk(results)
    return sorted(Path(folder, "sag.json") for folder, _, files in folders if "sag.json" in files)


def wrong_claims(results, images, network="network"):
    """Check every record below a folder with independent code; return what is wrong."""
    module = load_network(f"{NETWORKS}:{network}")
    paths = records_in(results)
    assert paths, f"no record in {results}"
    wrong = []
    for path in paths:
        found, _ = problems(path, images / read_sag(path.parent).image, module)
        wrong.extend(f"{path}: {line}" for line in found)
    return wrong


def only_line(capsys):
    """Return the one line that a command wrote to stderr."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    return lines[0]
