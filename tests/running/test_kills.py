"""Runs that are killed or interrupted: what is finished stays, and the next run goes on from it."""

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from drawn import read_sag
from main_job import (
    FLOAT32,
    draw_nothing,
    make_white_images,
    planted_options,
    records_in,
    rows_of,
    run_planted,
    wrong_claims,
)
from PIL import Image

import main_generate_sag
from utils import PROJECT

IMAGES = 16
KILLS = 20 if "SAG_SLOW" in os.environ else 8
SEED = 5
KILLED = -signal.SIGKILL

# Runs the program in a child process again and again (forked: its imports take longer than an
# image) and kills it each time, a moment after so many new records are there.
KILLER = """
import contextlib, json, os, signal, sys, time
from pathlib import Path
import main_generate_sag

out = Path(sys.argv[1])
plan = json.loads(sys.argv[2])
arguments = sys.argv[3:]


def records():
    found = {}
    for folder, _, files in os.walk(out):  # rglob raises where a folder vanishes meanwhile
        if "sag.json" in files:
            path = Path(folder, "sag.json")
            with contextlib.suppress(FileNotFoundError):  # the folder was renamed
                found[str(path)] = path.stat().st_mtime_ns
    return found


report = []
for new_records, delay in plan:
    enough = len(records()) + new_records
    child = os.fork()
    if child == 0:
        os._exit(main_generate_sag.main(arguments))
    ended = 0
    while not ended and len(records()) < enough:
        time.sleep(0.02)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
    report.append([os.waitstatus_to_exitcode(status), records()])
print(json.dumps(report))
"""


def make_images(folder):
    """Write sixteen images that differ a little, in two sub-folders."""
    for i in range(IMAGES):
        path = folder / f"class{i % 2}/{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (50, 40), (255, 255, 255 - i)).save(path)
    return folder


def rows_without_times(results):
    return [{**row, "seconds": ""} for row in rows_of(results)]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Runs that were killed, and the one that finished them.

    statuses and times (of change, of every record) are of each kill; before and after are the bytes
    of the records before and after the last run.
    """
    folder = tmp_path_factory.mktemp("kills")
    images = make_images(folder / "in")
    out = folder / "out"
    chance = random.Random(SEED)
    plan = json.dumps([(chance.randint(0, 1), chance.uniform(0, 1.5)) for _ in range(KILLS)])
    # A precision that is measured would differ from run to run.
    options = [str(option) for option in planted_options(images, out, *FLOAT32)]
    killer = subprocess.run(
        [sys.executable, "-c", KILLER, str(out), plan, *options],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    report = json.loads(killer.stdout.splitlines()[-1])
    before = {path: path.read_bytes() for path in records_in(out)}
    assert run_planted(images, out, *FLOAT32) == 0  # drawing removes what a kill left of figures
    with pytest.MonkeyPatch.context() as patch:  # figures make no difference from here on
        draw_nothing(patch)
        assert run_planted(images, folder / "whole", *FLOAT32) == 0
    return SimpleNamespace(
        out=out,
        whole=folder / "whole",
        statuses=[status for status, _ in report],
        times=[times for _, times in report],
        before=before,
        after={path: path.read_bytes() for path in records_in(out)},
    )


def test_half_of_the_runs_were_killed_at_work(killed):
    # The others found everything done already.
    assert killed.statuses.count(KILLED) >= KILLS // 2


def test_some_images_were_finished_between_kills(killed):
    assert len(killed.before) >= 5


def test_no_kill_loses_a_record_or_has_it_written_again(killed):
    for before, after in zip(killed.times, killed.times[1:], strict=False):
        assert before.items() <= after.items()


def test_the_last_run_leaves_finished_records_as_they_are(killed):
    assert killed.before.items() <= killed.after.items()


def test_the_summary_is_that_of_a_run_that_was_not_killed(killed):
    assert len(rows_of(killed.out)) == IMAGES
    assert rows_without_times(killed.out) == rows_without_times(killed.whole)


def test_the_summary_has_the_times_of_the_records(killed):
    for row in rows_of(killed.out):
        total = read_sag(killed.out / row["folder"]).seconds.total
        assert row["seconds"] == f"{total:.2f}"


def test_no_temporary_file_is_left_by_kills(killed):
    assert not list(killed.out.rglob(".*"))


# ---------------------------------------------------------------- one kill


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory):
    """A run of the command that was killed after its first record."""
    folder = tmp_path_factory.mktemp("kill")
    images = make_white_images(folder / "in")
    out = folder / "out"
    options = [str(option) for option in planted_options(images, out)]
    command = [sys.executable, str(PROJECT / "main_generate_sag.py"), *options]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=PROJECT)
    while not records_in(out) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return SimpleNamespace(images=images, out=out)


def test_a_kill_leaves_some_images_to_do(killed_once):
    assert 0 < len(records_in(killed_once.out)) < 3


def test_a_kill_leaves_no_broken_record(killed_once):
    assert wrong_claims(killed_once.out, killed_once.images) == []


def test_the_run_after_a_kill_does_the_rest(killed_once):
    assert run_planted(killed_once.images, killed_once.out) == 0
    assert len(records_in(killed_once.out)) == 3
    assert wrong_claims(killed_once.out, killed_once.images) == []


# ---------------------------------------------------------------- Ctrl-C


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run that was interrupted at its second image: its exit status, log, images and results."""
    original = main_generate_sag.explain_class
    explained = []

    def explain_class(*args, **kwargs):
        if explained:
            raise KeyboardInterrupt
        explained.append(1)
        return original(*args, **kwargs)

    folder = tmp_path_factory.mktemp("interrupted")
    images = make_white_images(folder / "in")
    log = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(log):
        patch.setattr(main_generate_sag, "explain_class", explain_class)
        status = run_planted(images, folder / "out")
    return SimpleNamespace(status=status, log=log.getvalue(), images=images, out=folder / "out")


def test_an_interrupted_run_ends_with_status_130(interrupted):
    assert interrupted.status == 130


def test_an_interrupted_run_says_so(interrupted):
    assert "interrupted" in interrupted.log


def test_an_interrupted_run_leaves_what_is_finished(interrupted):
    assert len(records_in(interrupted.out)) == 1
    assert wrong_claims(interrupted.out, interrupted.images) == []


def test_an_interrupted_run_has_a_summary(interrupted):
    assert len(rows_of(interrupted.out)) == 1
