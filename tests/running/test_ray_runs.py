"""Runs of the commands on a Ray cluster of two machines (both are this one), a worker on each."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from main_job import records_in
from PIL import Image

import main_generate_sag
import reproduce_paper
from utils import PROJECT

NAMES = ("a", "b", "c d é", "sub/d", "sub/e")
MANY = 10
RESNET = PROJECT / "tests/planted.py:resnet"
SAME_BYTES = (".png", ".txt", ".dot", ".gif")
NEEDS_RAY = "Ray is not installed: pip install -r requirements_distributed.txt"


def run(*options):
    """Return the exit status of the main job, run in this process."""
    return main_generate_sag.main([str(option) for option in options])


def options_for(images, results, *more):
    """Return the options of a small run with an untrained ResNet."""
    paths = ("--images", images, "--results", results, "--model", RESNET)
    # A process that measured them would differ from another one in the last digit.
    measured = ("--precision", "float32", "--batch-size", 8)
    return (*paths, "--device", "cpu", "--grid", 5, "--max-num-roots", 3, *measured, *more)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Five images of noise, two of them in a sub-folder."""
    folder = tmp_path_factory.mktemp("ray") / "in"
    for seed, name in enumerate(NAMES):
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((56, 56)).save(path)
    return folder


@pytest.fixture(scope="module")
def one_thread():
    """PyTorch with one thread, as in a worker: sums depend on the number in the last digit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def process_table():
    """Return the parent and the command line of every process, by its number."""
    table = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            table[int(folder.name)] = (parent, (folder / "cmdline").read_bytes())
        except (OSError, ValueError):  # the process has ended
            continue
    return table


def busy_workers():
    """Return the numbers of this test's worker processes that work on an image just now."""
    table = process_table()

    def is_ours(number):
        while number in table and number != os.getpid():
            number = table[number][0]
        return number == os.getpid()

    busy = [
        number for number, (_, name) in table.items() if name.startswith(b"ray::WorkerProcess.work")
    ]
    return [number for number in busy if is_ours(number)]


def kill_a_worker(killed):
    """Kill one worker as soon as both are busy; add its number to killed."""
    while not killed:
        busy = busy_workers()
        if len(busy) == 2:
            os.kill(busy[0], signal.SIGKILL)
            killed.append(busy[0])
        time.sleep(0.05)


def comparable_record(folder):
    """Return a record without what may differ between one process and many."""
    record = json.loads((folder / "sag.json").read_text(encoding="utf-8"))
    for name in ("results", "ray"):
        del record["settings"][name]
    del record["seconds"]
    return record


def files_below(folder):
    """Return the relative paths of all files below a folder."""
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def summary_rows(results):
    """Return the rows of summary.csv, without the durations."""
    with open(results / "summary.csv", newline="", encoding="utf-8") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


# ---------------------------------------------------------------- without a cluster


def test_without_the_option_ray_is_not_imported(images, tmp_path):
    code = (
        "import sys, main_generate_sag\n"
        "status = main_generate_sag.main(sys.argv[1:])\n"
        "unwanted = {'ray', 'running.ray_workers', 'running.ray_cluster'}\n"
        "sys.exit(status or bool(unwanted.intersection(sys.modules)))"
    )
    options = options_for(images / "a.png", tmp_path / "out", "--max-num-roots", 1)
    command = [sys.executable, "-c", code, *map(str, options)]
    assert subprocess.run(command, cwd=PROJECT, capture_output=True).returncode == 0


def test_a_missing_ray_is_one_line(images, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(*options_for(images, tmp_path / "out", "--ray")) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert "pip install -r requirements_distributed.txt" in errors[-1]


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "ray://here:10001", "nonsense", "127.0.0.1:70000"]
)
def test_a_missing_cluster_is_one_line(images, tmp_path, capsys, address):
    pytest.importorskip("ray", reason=NEEDS_RAY)
    status = run(*options_for(images, tmp_path / "out", "--ray", address))
    output = capsys.readouterr().err
    errors = [line for line in output.splitlines() if "error:" in line]
    assert status == 2
    assert f"--ray {address}" in errors[-1]
    assert "Traceback" not in output


# ---------------------------------------------------------------- one process and many


@pytest.fixture(scope="module")
def runs(cluster, images, one_thread, tmp_path_factory):
    """The same run in this process and on the cluster, where a busy worker is killed."""
    folder = tmp_path_factory.mktemp("runs")
    status_one = run(*options_for(images, folder / "one"))
    killed = []
    threading.Thread(target=kill_a_worker, args=(killed,), daemon=True).start()
    status_many = run(*options_for(images, folder / "many", "--ray", cluster.address))
    return SimpleNamespace(
        one=folder / "one",
        many=folder / "many",
        statuses=(status_one, status_many),
        killed=killed,
    )


def test_a_killed_worker_does_not_fail_the_run(runs):
    assert runs.statuses == (0, 0)


def test_a_worker_was_killed(runs):
    assert len(runs.killed) == 1


@pytest.mark.parametrize("name", NAMES)
def test_many_processes_find_the_same(runs, name):
    assert comparable_record(runs.one / name) == comparable_record(runs.many / name)


@pytest.mark.parametrize("name", NAMES)
def test_many_processes_write_the_same_files(runs, name):
    files = files_below(runs.one / name)
    assert len(files) > 10
    assert files == files_below(runs.many / name)


@pytest.mark.parametrize("name", NAMES)
def test_many_processes_draw_the_same_bytes(runs, name):
    for file in files_below(runs.one / name):
        if file.suffix in SAME_BYTES:
            one = (runs.one / name / file).read_bytes()
            assert one == (runs.many / name / file).read_bytes(), file


def test_many_processes_write_the_same_summary(runs):
    assert summary_rows(runs.one) == summary_rows(runs.many)


def test_the_summary_has_every_image(runs):
    assert len(summary_rows(runs.many)) == len(NAMES)


def test_a_finished_run_asks_no_cluster(runs, images, capsys):
    assert run(*options_for(images, runs.many, "--ray", "127.0.0.1:1")) == 0
    assert "5 images there already" in capsys.readouterr().err


@pytest.mark.skipif("SAG_SLOW" not in os.environ, reason="slow: only where SAG_SLOW is set")
def test_the_papers_experiments_measure_the_same(cluster, images, tmp_path, one_thread):
    shutil.copytree(images / "sub", tmp_path / "in")
    measurements = []
    for folder, more in (("one", ()), ("many", ("--ray", cluster.address))):
        results = tmp_path / folder
        paths = ("--images", tmp_path / "in", "--results", results, "--model", RESNET)
        options = (*paths, "--grid", 4, "--conditions", "beam3", "--device", "cpu", *more)
        assert reproduce_paper.main([str(option) for option in options]) == 0
        measurements.append(comparable_measurements(results))
    one, many = measurements
    assert len(one) == 2
    assert one.keys() == many.keys()
    assert all(is_about_the_same(one[name], many[name]) for name in one)


def is_about_the_same(one, other):
    """Compare values of JSON; numbers to 1e-5, as each process measures its batch size."""
    if isinstance(one, float):
        return one == pytest.approx(other, abs=1e-5)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_about_the_same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_about_the_same, one, other))
    return one == other


def comparable_measurements(results):
    """Return the measurements below a folder by path, without the durations."""
    found = {}
    for path in results.rglob("beam3.json"):
        measurement = json.loads(path.read_text(encoding="utf-8"))
        del measurement["finding"]["seconds"]
        found[path.relative_to(results)] = measurement
    return found


# ---------------------------------------------------------------- Ctrl-C


@pytest.fixture(scope="module")
def many_images(tmp_path_factory):
    """So many images that a run cannot end before it is interrupted."""
    folder = tmp_path_factory.mktemp("many")
    for seed in range(MANY):
        noise = np.random.default_rng(seed).integers(0, 256, (7, 7, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((56, 56)).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def interrupted(cluster, many_images, tmp_path_factory):
    """A run on the cluster that is interrupted after its first image."""
    if "SAG_SLOW" not in os.environ:
        pytest.skip("slow, and a busy machine may end the run first: only where SAG_SLOW is set")
    results = tmp_path_factory.mktemp("interrupted") / "out"
    options = map(str, options_for(many_images, results, "--ray", cluster.address))
    command = [sys.executable, str(PROJECT / "main_generate_sag.py"), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=PROJECT)
    while not records_in(results) and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    end = time.monotonic() + 20
    while busy_workers() and time.monotonic() < end:
        time.sleep(0.2)
    return SimpleNamespace(
        results=results,
        status=process.returncode,
        errors=errors,
        busy=busy_workers(),
        records={path: path.read_bytes() for path in results.rglob("sag.json")},
        rows=summary_rows(results),
    )


def test_ctrl_c_exits_with_130(interrupted):
    assert interrupted.status == 130


def test_ctrl_c_is_one_line(interrupted):
    assert "interrupted" in interrupted.errors
    assert "Traceback" not in interrupted.errors


def test_ctrl_c_stops_the_workers(interrupted):
    assert interrupted.busy == []


def test_ctrl_c_keeps_what_is_finished(interrupted):
    assert 0 < len(interrupted.records) < MANY
    folders = {path.parent.name for path in interrupted.records}
    assert {row["folder"] for row in interrupted.rows} <= folders


def test_a_run_continues_after_ctrl_c(interrupted, many_images):
    assert run(*options_for(many_images, interrupted.results)) == 0
    assert len(list(interrupted.results.rglob("sag.json"))) == MANY
    assert all(path.read_bytes() == content for path, content in interrupted.records.items())
