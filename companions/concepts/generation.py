"""Sets of generated images: an image per prompt, in a folder per class, and a selection of them.

    made = generate_set(file, generator, seed=0, results=results, failures=failures)
    made.selection                      # selection_ours.csv, for improve

Every image is a PNG file that keeps what it was made from, so that an interrupted run goes on with
the first one that is missing or was made from something else.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from companions.concepts.figures import SHEET, Tile, draw_sheet
from companions.concepts.files import write_csv
from companions.concepts.image_generators import ImageGenerator, ImageOptions
from companions.concepts.prompts import PromptRow, read_prompts
from companions.concepts.sets import GENERATED
from companions.score_deviation.class_figures import file_stems
from scoring.image_files import load_image
from utils import UserError, log, written_beside

FOLDER = "generated"
MADE_FROM = "made-from"  # name of the PNG file's text
TILE = (112, 112)  # height and width of an image on a sheet, pixels
SEED_BITS = 63

Failures = list[tuple[str, str]]


class MadeFrom(Struct):
    """What an image was made from; it stands in its PNG file."""

    prompt: str
    seed: int
    generator: str
    size: int | None
    steps: int | None
    guidance: float | None
    precision: str


@dataclass(frozen=True)
class Wanted:
    """An image of a set.

    Attributes:
        name: of its file, below the folder of results.
        category: its class.
        made_from: what it is made from.
    """

    name: str
    category: str
    made_from: MadeFrom


class GeneratedRow(Struct, kw_only=True, rename={"category": "class"}):
    """A row of selection_<set>.csv."""

    image: str
    category: str
    prompt: str


@dataclass(frozen=True)
class PromptFile:
    """A file of prompts, and the name of the set that is made of it."""

    name: str
    path: Path
    rows: list[PromptRow]


def prompt_files(paths: Sequence[Path], results: Path) -> list[PromptFile]:
    """Return files of prompts.

    Args:
        paths: CSV files with the columns class and prompt; none: those of `prompts`.
        results: folder of `prompts`.

    Raises:
        UserError: there is none, one cannot be used, or two have the same name.
    """
    found = [results / f"prompts_{kind}.csv" for kind in GENERATED]
    chosen = list(paths) or [path for path in found if path.is_file()]
    if not chosen:
        raise UserError(f"--prompts: none given, and no prompts_*.csv in {results}; run prompts")
    names = [path.stem.removeprefix("prompts_") for path in chosen]
    for name, often in Counter(names).items():
        if often > 1:
            raise UserError(f"--prompts: two files named {name}")
    return [
        PromptFile(name, path, read_prompts(path)) for name, path in zip(names, chosen, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class SetMaker:
    """Makes sets of images.

    Attributes:
        generator: what makes them.
        options: how.
        seed: of all images.
        batch_size: images made at once.
        overwrite: whether to make again what is there.
        results: folder of generated/ and the selections.
    """

    generator: ImageGenerator
    options: ImageOptions
    seed: int
    batch_size: int
    overwrite: bool
    results: Path

    def make(self, file: PromptFile, failures: Failures) -> None:
        """Make the images of a file's prompts, and write the selection of them.

        Args:
            file: of the prompts.
            failures: (name, reason) of images that cannot be made are added to it.
        """
        wanted = self.wanted(file)
        failed: Failures = []
        with tqdm(
            total=len(wanted), desc=f"generate {file.name}", unit="image", disable=None
        ) as bar:
            missing = [one for one in wanted if self.overwrite or not self._is_there(one)]
            bar.update(len(wanted) - len(missing))
            for batch in _batches(missing, self.batch_size):
                failed += self._made(batch)
                bar.update(len(batch))
        failures += failed
        self._write_selection(file, wanted, failed=failed)

    def wanted(self, file: PromptFile) -> list[Wanted]:
        """Return the images of a file's prompts."""
        stems = file_stems(list(dict.fromkeys(row.category for row in file.rows)))
        numbers: Counter[str] = Counter()
        wanted = []
        for row in file.rows:
            number = numbers[row.category]
            numbers[row.category] += 1
            made_from = MadeFrom(
                prompt=row.prompt,
                seed=image_seed(self.seed, file.name, row, number),
                generator=self.generator.identity,
                size=self.options.size,
                steps=self.options.steps,
                guidance=self.options.guidance,
                precision=self.options.precision,
            )
            name = f"{FOLDER}/{file_stems([file.name])[file.name]}/{stems[row.category]}"
            wanted.append(Wanted(f"{name}/{number:05d}.png", row.category, made_from))
        return wanted

    def _is_there(self, one: Wanted) -> bool:
        return read_made_from(self.results / one.name) == one.made_from

    def _made(self, batch: Sequence[Wanted]) -> Failures:
        """Make and write some images; return those that could not be made."""
        made = self.generator.images(
            [one.made_from.prompt for one in batch], [one.made_from.seed for one in batch]
        )
        failed: Failures = []
        for one, image in zip(batch, made, strict=True):
            if isinstance(image, str):
                failed.append((one.name, image))
                (self.results / one.name).unlink(missing_ok=True)  # of another prompt
            else:
                write_made(image, self.results / one.name, one.made_from)
        return failed

    def _write_selection(
        self, file: PromptFile, wanted: Sequence[Wanted], failed: Failures
    ) -> None:
        without = {name for name, _ in failed}
        there = [one for one in wanted if one.name not in without]
        rows = [
            GeneratedRow(image=one.name, category=one.category, prompt=one.made_from.prompt)
            for one in there
        ]
        path = self.results / f"selection_{file.name}.csv"
        write_csv(path, rows, GeneratedRow)
        sheet: dict[str, list[Tile]] = {}
        for one in there:
            tiles = sheet.setdefault(one.category, [])
            if len(tiles) < SHEET:
                tiles.append(Tile(load_image(self.results / one.name, TILE), ""))
        draw_sheet(sheet, path.with_suffix(".png"))
        log(f"{GENERATED.get(file.name, file.name)}: {len(rows)} images in {path}")


def image_seed(seed: int, set_name: str, row: PromptRow, number: int) -> int:
    """Return the seed of an image, from 0 to 2**63 - 1.

    Args:
        seed: of all images.
        set_name: which set it is of.
        row: its class and prompt.
        number: among those of its class, so that the same prompt gives other images.
    """
    text = repr((seed, set_name, row.category, row.prompt, number))
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 2**SEED_BITS


def _batches(wanted: Sequence[Wanted], size: int) -> Iterator[Sequence[Wanted]]:
    for start in range(0, len(wanted), size):
        yield wanted[start : start + size]


# ---------------------------------------------------------------- files


def write_made(image: np.ndarray, path: Path, made_from: MadeFrom) -> None:
    """Write an image (H, W, 3) uint8 as a PNG file that keeps what it was made from, atomically."""
    text = PngInfo()
    text.add_itxt(MADE_FROM, msgspec.json.encode(made_from).decode())
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as new:
        Image.fromarray(image).save(new, pnginfo=text)


def read_made_from(path: Path) -> MadeFrom | None:
    """Return what an image was made from; None where there is none, or no whole one.

    Only the file's beginning is read, unless it is no PNG file of write_made.
    """
    try:
        with Image.open(path) as image:
            return msgspec.json.decode(str(image.info[MADE_FROM]), type=MadeFrom)
    except (OSError, ValueError, KeyError, SyntaxError):
        return None
