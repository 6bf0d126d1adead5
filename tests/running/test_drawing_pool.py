"""Figures drawn in processes of their own: the same files, and a process that dies costs one image.

What was found out is never lost: the next run draws it from its record, without the network.
"""

import contextlib
import os
import shutil
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
from drawn import read_sag
from main_job import make_white_images, records_in, roots_of, rows_of, run_planted, wrong_claims

import main_generate_sag
from drawing.record import Seconds
from running import drawing_pool, this_process
from running.drawing_pool import DIED, DrawingPool, number_of_workers
from running.record_files import RECORD
from running.results import FINISHED, UNDRAWN, draw_kept, keep_all
from scoring.engine import Engine

NAMES = ("a", "birds/b", "birds/c d é")
UNMEASURED = ("--precision", "float32", "--batch-size", 8)
SECONDS = 60  # after which something that a test waits for has failed


def wait_for(condition):
    """Wait until a condition holds, and return what it returned."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.002)
    raise AssertionError("waited in vain")


def files_in(folder):
    """Return the files of an image's folder, as paths below it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_running(pid):
    """Return whether there is a process of this number that has not ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


# ---------------------------------------------------------------- the pool


@pytest.fixture(scope="module")
def sag(tmp_path_factory):
    """A record with roots and a graph."""
    folder = tmp_path_factory.mktemp("explained")
    images = make_white_images(folder / "in")
    options = ("--pictures", "none", *UNMEASURED)
    assert run_planted(images / "a.png", folder / "out", *options) == 0
    return read_sag(folder / "out/a")


@pytest.fixture
def image():
    return np.full((56, 56, 3), 255, np.uint8)


@pytest.fixture
def pool():
    """A pool of one process."""
    with contextlib.closing(DrawingPool(1, "all")) as pool:
        yield pool


def submit(pool, key, sag, image, folder):
    keep_all([sag], folder)
    pool.submit(key, [sag], image, folder)


@pytest.fixture(scope="module")
def drawn(sag, tmp_path_factory):
    """The folders of one record, drawn here and by a pool, and what the pool said."""
    folder = tmp_path_factory.mktemp("drawn")
    image = np.full((56, 56, 3), 255, np.uint8)
    keep_all([sag], folder / "here")
    draw_kept([sag], image, folder / "here")
    with contextlib.closing(DrawingPool(1, "all")) as pool:
        submit(pool, "key", sag, image, folder / "there")
        (said,) = pool.finished(all_of_them=True)
    return SimpleNamespace(here=folder / "here", there=folder / "there", said=said)


def test_a_pool_writes_the_files_that_are_drawn_here(drawn):
    assert files_in(drawn.there) == files_in(drawn.here)
    assert len(files_in(drawn.there)) > 10


def test_a_pool_writes_the_same_images(drawn):
    for name in files_in(drawn.here):
        if name.endswith((".png", ".dot", ".txt", ".gif")):
            assert (drawn.there / name).read_bytes() == (drawn.here / name).read_bytes(), name


def test_a_pool_writes_the_same_record_but_for_the_time(drawn):
    records = [read_sag(folder) for folder in (drawn.here, drawn.there)]
    for record in records:
        record.seconds = Seconds()
    assert records[0] == records[1]


def test_a_pool_tells_the_time_for_drawing(drawn):
    assert drawn.said.key == "key"
    assert drawn.said.answer.error is None
    assert [seconds.draw > 0 for seconds in drawn.said.answer.seconds] == [True]


def test_the_record_that_waited_for_its_figures_is_gone(drawn):
    assert not (drawn.there / UNDRAWN).exists()


def killed_while_drawing(pool, sag, image, folder):
    """Kill the process that draws an image once its first figure is there."""
    submit(pool, "killed", sag, image, folder)
    wait_for(lambda: len(files_in(folder)) > 1)
    (process,) = pool.processes.values()
    os.kill(process.pid, signal.SIGKILL)
    (said,) = pool.finished(all_of_them=True)
    return said


def test_a_process_that_dies_fails_the_image_that_it_drew(pool, sag, image, tmp_path):
    said = killed_while_drawing(pool, sag, image, tmp_path / "a")
    assert (said.key, said.answer.error) == ("killed", DIED)


def test_a_process_that_dies_leaves_the_record_aside(pool, sag, image, tmp_path):
    killed_while_drawing(pool, sag, image, tmp_path / "a")
    assert (tmp_path / "a" / UNDRAWN).exists()
    assert not (tmp_path / "a" / RECORD).exists()


def test_after_a_process_has_died_another_one_draws(pool, sag, image, tmp_path):
    killed_while_drawing(pool, sag, image, tmp_path / "a")
    submit(pool, "next", sag, image, tmp_path / "b")
    (said,) = pool.finished(all_of_them=True)
    assert (said.key, said.answer.error) == ("next", None)
    assert (tmp_path / "b" / RECORD).exists()


def test_a_folder_that_cannot_be_written_is_named(pool, sag, image, tmp_path):
    keep_all([sag], tmp_path / "a")
    (tmp_path / "a/nodes").write_text("in the way")
    pool.submit("a", [sag], image, tmp_path / "a")
    (said,) = pool.finished(all_of_them=True)
    assert "nodes" in said.answer.error


def test_closing_ends_the_processes_that_draw(sag, image, tmp_path):
    pool = DrawingPool(1, "all")
    submit(pool, "a", sag, image, tmp_path / "a")
    wait_for(lambda: pool.processes)
    pids = [process.pid for process in pool.processes.values()]
    pool.close()
    assert not any(map(is_running, pids))


def test_a_pool_without_work_ends():
    DrawingPool(2, "all").close()


def test_so_many_images_wait_for_a_process_at_most(sag, image, tmp_path, monkeypatch):
    monkeypatch.setattr(drawing_pool, "QUEUE", 1)
    waited = []
    monkeypatch.setattr(
        drawing_pool, "wait", lambda futures, **_: waited.append(len(futures)) or time.sleep(0.05)
    )
    with contextlib.closing(DrawingPool(1, "none")) as pool:
        for i in range(4):
            submit(pool, i, sag, image, tmp_path / str(i))
        assert waited and set(waited) == {2}
        monkeypatch.undo()
        list(pool.finished(all_of_them=True))


@pytest.mark.parametrize("device, cores, number", [("cpu", 64, 1), ("cuda", 4, 3), ("cuda", 64, 8)])
def test_the_number_of_processes_follows_the_cores(monkeypatch, device, cores, number):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert number_of_workers(device) == number


# ---------------------------------------------------------------- whole runs


def refuse(monkeypatch):
    """Make a failure of every use of the network from now on."""

    def refused(*_, **__):
        raise AssertionError("the network is run")

    monkeypatch.setattr(Engine, "launch", refused)
    monkeypatch.setattr(Engine, "most_probable", refused)
    monkeypatch.setattr(main_generate_sag, "explain_class", refused)


@contextlib.contextmanager
def dies_at(image):
    """Have the process die that is about to draw the image of this number, from 0."""
    original = DrawingPool._process
    begun = []

    def process_that_dies(self):
        process = original(self)
        begun.append(process)
        if len(begun) == image + 1:
            process.kill()
            process.wait()
        return process

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DrawingPool, "_process", process_that_dies)
        yield


@pytest.fixture(scope="module")
def died_once(tmp_path_factory):
    """A run on three images, in which a process died that drew the second."""
    folder = tmp_path_factory.mktemp("died")
    images = make_white_images(folder / "in")
    with dies_at(1):
        status = run_planted(images, folder / "out", *UNMEASURED)
    return SimpleNamespace(images=images, out=folder / "out", status=status)


@pytest.fixture
def one_died(died_once, out):
    """That run, with a copy of its results of one's own."""
    shutil.copytree(died_once.out, out)
    return SimpleNamespace(images=died_once.images, out=out, status=died_once.status)


def test_a_process_that_dies_costs_one_images_figures(one_died):
    assert one_died.status == 1
    assert len(records_in(one_died.out)) == 2


def test_a_process_that_died_is_in_the_summary(one_died):
    errors = [row["error"] for row in rows_of(one_died.out)]
    assert sorted(errors) == ["", "", DIED]


def test_the_next_run_draws_it_without_the_network(one_died, monkeypatch):
    refuse(monkeypatch)
    assert run_planted(one_died.images, one_died.out, *UNMEASURED) == 0
    assert wrong_claims(one_died.out, one_died.images) == []
    assert len(records_in(one_died.out)) == 3


def test_after_the_next_run_all_files_are_there(one_died):
    assert run_planted(one_died.images, one_died.out, *UNMEASURED) == 0
    files = [files_in(one_died.out / name) for name in NAMES]
    assert files[0] == files[1] == files[2]
    assert UNDRAWN not in files[0]


def test_the_next_run_with_other_settings_explains_it_anew(one_died):
    options = ("--prob-thresh", 0.5, *UNMEASURED)
    assert run_planted(one_died.images, one_died.out, *options) == 0
    assert {read_sag(one_died.out / name).threshold for name in NAMES} == {0.5}
    assert not list(one_died.out.rglob(UNDRAWN))


@pytest.fixture(scope="module")
def interrupted_once(tmp_path_factory):
    """A run that is interrupted when two images are explained, and the processes that drew."""
    folder = tmp_path_factory.mktemp("interrupted")
    images = make_white_images(folder / "in")
    pools = []
    explained = []

    def interrupts(self, finished):
        explained.append(finished)
        if len(explained) == 2:
            wait_for(lambda: pools[0].processes)
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DrawingPool, "__init__", noting(DrawingPool.__init__, into=pools))
        patch.setattr(this_process.Pace, "note", interrupts)
        status = run_planted(images, folder / "out", *UNMEASURED)
    (pool,) = pools
    return SimpleNamespace(images=images, out=folder / "out", status=status, pool=pool)


@pytest.fixture
def interrupted(interrupted_once, out):
    """That run, with a copy of its results of one's own."""
    shutil.copytree(interrupted_once.out, out)
    return SimpleNamespace(**{**vars(interrupted_once), "out": out})


def noting(function, into):
    """Return a function that notes its first argument and then does as before."""

    def noted(first, *args, **kwargs):
        into.append(first)
        return function(first, *args, **kwargs)

    return noted


def test_an_interrupt_ends_the_run_with_130(interrupted):
    assert interrupted.status == 130


def test_an_interrupt_ends_the_processes_that_draw(interrupted):
    pids = [process.pid for process in interrupted.pool.processes.values()]
    assert pids
    assert not any(map(is_running, pids))


def test_what_was_explained_before_an_interrupt_is_not_explained_again(interrupted, monkeypatch):
    classes = []
    monkeypatch.setattr(
        main_generate_sag, "explain_class", noting(main_generate_sag.explain_class, into=classes)
    )
    assert run_planted(interrupted.images, interrupted.out, *UNMEASURED) == 0
    assert len(classes) == 1  # of three images, two were explained
    assert not list(interrupted.out.rglob(UNDRAWN))


# ---------------------------------------------------------------- which pictures

ORDER = ("none", "graph", "all")


@pytest.fixture(scope="module")
def by_pictures(tmp_path_factory):
    """Runs on three images with --pictures none, graph and all: the results folders."""
    folder = tmp_path_factory.mktemp("pictures")
    images = make_white_images(folder / "in")
    for pictures in ORDER:
        assert run_planted(images, folder / pictures, "--pictures", pictures, *UNMEASURED) == 0
    return SimpleNamespace(images=images, **{name: folder / name for name in ORDER})


def test_without_pictures_there_is_no_image_file(by_pictures):
    assert not list(by_pictures.none.rglob("*.png"))


def test_the_graph_alone_is_fewer_files(by_pictures):
    graph, everything = (files_in(folder / "a") for folder in (by_pictures.graph, by_pictures.all))
    assert set(graph) < set(everything)
    assert any(name.startswith("SAG_") for name in graph)


@pytest.mark.parametrize("pictures", ORDER)
def test_the_record_has_everything_whatever_is_drawn(by_pictures, pictures):
    out = getattr(by_pictures, pictures)
    assert [roots_of(out / name) for name in NAMES] == [roots_of(by_pictures.all / "a")] * 3


@pytest.mark.parametrize("pictures", ORDER)
def test_no_record_waits_for_figures_after_a_run(by_pictures, pictures):
    assert not list(getattr(by_pictures, pictures).rglob(UNDRAWN))


@pytest.mark.parametrize("before, after", [("none", "all"), ("none", "graph"), ("graph", "all")])
def test_more_pictures_are_drawn_without_the_network(by_pictures, out, before, after, monkeypatch):
    shutil.copytree(getattr(by_pictures, before), out)
    refuse(monkeypatch)
    assert run_planted(by_pictures.images, out, "--pictures", after, *UNMEASURED) == 0
    assert files_in(out / "a") == files_in(getattr(by_pictures, after) / "a")


def test_fewer_pictures_leave_those_that_are_there(by_pictures, out):
    shutil.copytree(by_pictures.all, out)
    before = files_in(out / "a")
    assert run_planted(by_pictures.images, out, "--pictures", "none", *UNMEASURED) == 0
    assert files_in(out / "a") == before


@pytest.mark.parametrize("before, after", [("graph", "all"), ("all", "none")])
def test_what_is_drawn_is_not_drawn_or_noted_again(by_pictures, out, before, after):
    images = by_pictures.images
    shutil.copytree(getattr(by_pictures, before), out)
    assert run_planted(images, out, "--pictures", after, *UNMEASURED) == 0
    notes = (out / FINISHED).read_bytes()
    times = {path: path.stat().st_mtime_ns for path in records_in(out)}
    assert run_planted(images, out, "--pictures", after, *UNMEASURED) == 0
    assert (out / FINISHED).read_bytes() == notes
    assert {path: path.stat().st_mtime_ns for path in records_in(out)} == times
