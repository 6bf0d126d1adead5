"""Resume: what is complete is not done again, nor read again; a killed run, continued, ends as if nothing had happened."""

import csv
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import main_generate_sag
from running import results as result_files

HERE = Path(__file__).resolve().parent
KILLS, SEED = 20, 5


def options(images, out, *more):
    return [
        str(o)
        for o in (
            "--images",
            images,
            "--results",
            out,
            "--model",
            f"{HERE}/planted.py:network",
            "--category",
            1,
            "--grid",
            4,
            "--device",
            "cpu",
            *more,
        )
    ]


def rows_of(out):
    """summary.csv, without the times."""
    return [
        {**row, "seconds": ""}
        for row in csv.DictReader(open(out / "summary.csv", encoding="utf-8"))
    ]


def pictures(folder, count):
    for i in range(count):
        (folder / f"class{i % 2}").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), (255, 255, 255 - i)).save(folder / f"class{i % 2}/{i:02}.png")
    return folder


@pytest.fixture
def counted(monkeypatch):
    """How often an image is explained, an image's bytes are hashed, a record is read."""
    counts = dict.fromkeys(("explain", "file_sha256", "read_record"), 0)

    def spy(module, name):
        original = getattr(module, name)

        def counting(*arguments):
            counts[name] += 1
            return original(*arguments)

        monkeypatch.setattr(module, name, counting)

    spy(main_generate_sag, "explain")
    spy(main_generate_sag, "file_sha256")
    spy(result_files, "read_record")

    def since():
        now = tuple(counts.values())
        counts.update(dict.fromkeys(counts, 0))
        return now

    return since


# Runs the program in a child process again and again (forked: its imports take longer than an image) and kills it each time:
# a moment after so many new records are there.
KILLER = """
import json, os, signal, sys, time
from pathlib import Path
import main_generate_sag
out, plan, arguments = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
there = lambda: {str(p): p.stat().st_mtime_ns for p in out.rglob("sag.json")}
report = []
for fresh, delay in plan:
    enough, ended = len(there()) + fresh, 0
    child = os.fork()
    if child == 0:
        os._exit(main_generate_sag.main(arguments))
    while not ended and len(there()) < enough:
        time.sleep(0.02)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    report.append([os.waitstatus_to_exitcode(status), there()])
print(json.dumps(report))
"""


def test_twenty_kills_lose_nothing_and_repeat_nothing(tmp_path):
    images, out = pictures(tmp_path / "in", 16), tmp_path / "out"
    chance = random.Random(SEED)
    plan = [(chance.randint(0, 1), chance.uniform(0, 1.5)) for _ in range(KILLS)]
    killer = subprocess.run(
        [sys.executable, "-c", KILLER, str(out), json.dumps(plan), *options(images, out)],
        cwd=HERE.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    report = json.loads(killer.stdout.splitlines()[-1])
    assert (
        sum(status == -9 for status, _ in report) >= KILLS // 2
    )  # the rest found everything done already
    for (_, before), (_, after) in zip(report, report[1:]):
        assert before.items() <= after.items()  # neither lost nor written again
    finished = {Path(path): Path(path).read_bytes() for path in report[-1][1]}
    assert len(finished) >= 5
    assert main_generate_sag.main(options(images, out)) == 0
    assert all(path.read_bytes() == content for path, content in finished.items())
    assert main_generate_sag.main(options(images, tmp_path / "whole")) == 0
    assert rows_of(out) == rows_of(tmp_path / "whole") and len(rows_of(out)) == 16
    for row in csv.DictReader(open(out / "summary.csv", encoding="utf-8")):
        assert (
            row["seconds"]
            == f"{json.loads((out / row['folder'] / 'sag.json').read_text())['seconds']['total']:.2f}"
        )
    assert not [path for path in out.rglob(".*")]


def test_two_thousand_images_are_neither_read_nor_hashed_to_find_the_three_that_are_left(
    tmp_path, counted, capsys
):
    images, out, count = tmp_path / "in", tmp_path / "out", 2000
    images.mkdir()
    Image.new("RGB", (50, 40), "white").save(images / "0000.png")
    assert main_generate_sag.main(options(images, out)) == 0 and counted() == (1, 1, 1)
    record = json.loads((out / "0000/sag.json").read_text())
    for i in range(1, count):
        os.link(images / "0000.png", images / f"{i:04}.png")
        (out / f"{i:04}").mkdir()
        (out / f"{i:04}/sag.json").write_text(json.dumps({**record, "image": f"{i:04}.png"}))
    assert main_generate_sag.main(options(images, out)) == 0
    assert counted() == (0, count - 1, count - 1)  # made records have no notes: each is read, once
    whole = rows_of(out)
    for name in ("0007", "0777", "1999"):
        shutil.rmtree(out / name)
    capsys.readouterr()
    assert main_generate_sag.main(options(images, out)) == 0 and counted() == (3, 3, 3)
    assert rows_of(out) == whole and len(whole) == count
    err = capsys.readouterr().err
    assert (
        "1,997 images there already" in err and err.count("MSEs") == 3 and f"{count} records" in err
    )
    assert main_generate_sag.main(options(images, out)) == 0 and counted() == (0, 0, 0)


def test_a_note_is_believed_only_where_everything_looks_as_it_says(tmp_path, counted):
    images, out = pictures(tmp_path / "in", 3), tmp_path / "out"
    notes, record = out / "finished.jsonl", out / "class0/00/sag.json"

    def again(*more):
        assert main_generate_sag.main(options(images, out, *more)) == 0
        return counted()

    assert again() == (3, 3, 3) and again() == (0, 0, 0)
    os.utime(record)  # touched: read, found good, noted anew
    assert again() == (0, 1, 1) and again() == (0, 0, 0)
    os.utime(images / "class1/01.png", ns=(0, 0))
    assert again() == (0, 1, 1) and again() == (0, 0, 0)
    text = record.read_text()
    record.write_text(text.replace('"format": 1', '"format": 9'))  # of the same size
    assert again() == (1, 1, 1) and again() == (0, 0, 0)
    Image.new("RGB", (50, 40), (255, 250, 255)).save(images / "class1/01.png")
    assert again() == (1, 1, 1) and again() == (0, 0, 0)
    record.unlink()
    assert again() == (1, 1, 1)
    notes.write_text(notes.read_text()[:-40])  # cut off by a kill
    assert again() == (0, 1, 1) and again() == (0, 0, 0)
    notes.unlink()
    assert again() == (0, 3, 3) and again() == (0, 0, 0)
    assert again("--prob-thresh", "0.8")[0] == 3 and again()[0] == 3
    assert again("--overwrite")[0] == 3 and again() == (0, 0, 0)


def test_every_class_of_an_image_must_be_there(tmp_path, counted):
    images, out = pictures(tmp_path / "in", 1), tmp_path / "out"
    two = [o for o in options(images, out, "--num-categories", 2) if o != "--category"]
    two.remove("1")
    assert main_generate_sag.main(two) == 0 and counted()[0] == 2 and len(rows_of(out)) == 2
    assert main_generate_sag.main(two) == 0 and counted() == (0, 0, 0)
    whole = rows_of(out)
    next(out.rglob("category_*/sag.json")).unlink()
    assert main_generate_sag.main(two) == 0 and counted()[0] == 2 and rows_of(out) == whole
