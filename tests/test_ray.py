"""A real Ray cluster of two machines (both are this one) with a worker each: the same records, whoever is killed."""

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

import numpy as np
import pytest
import torch
from PIL import Image

import main_generate_sag
import reproduce_paper
from utils import UserError

HERE = Path(__file__).resolve().parent
MAIN = HERE.parent / "main_generate_sag.py"
NAMES = ("a", "b", "c d é", "sub/d", "sub/e")


def run(*options):
    """main() in this process -> its exit status."""
    return main_generate_sag.main([str(o) for o in options])


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray") / "in"
    for i, name in enumerate(NAMES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (7, 7, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((56, 56)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip(
        "ray", reason="Ray is not installed: pip install -r requirements_distributed.txt"
    )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    machines = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 2**27}
    )
    machines.add_node(num_cpus=1, object_store_memory=2**27)
    yield machines
    machines.shutdown()


@pytest.fixture
def one_thread():
    """As many as a worker has: sums depend on it in the last digit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def resnet(images, out, *options):
    return (
        "--images",
        images,
        "--results",
        out,
        "--model",
        f"{HERE}/planted.py:resnet",
        "--device",
        "cpu",
        "--grid",
        5,
        "--max-num-roots",
        3,
        *options,
    )


def working():
    """Process numbers of this test's workers that are working on an image just now."""
    parents, names = {}, {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(place.name)] = int(
                (place / "stat").read_text().rpartition(")")[2].split()[1]
            )
            names[int(place.name)] = (place / "cmdline").read_bytes()
        except (OSError, ValueError):  # it has ended
            pass

    def mine(pid):
        while pid in parents and pid != os.getpid():
            pid = parents[pid]
        return pid == os.getpid()

    return [
        pid for pid, name in names.items() if name.startswith(b"ray::Worker.work") and mine(pid)
    ]


def but_for_times(folder):
    """A record as text, without what may differ between one process and many."""
    record = json.loads((folder / "sag.json").read_text(encoding="utf-8"))
    for name in ("results", "ray"):
        del record["settings"][name]
    del record["seconds"]
    return json.dumps(record)


def one_line(capsys):
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return [line for line in err.splitlines() if "error:" in line][-1]


# ---------------------------------------------------------------- without a cluster


def test_without_the_option_nothing_knows_of_ray(images, tmp_path):
    code = (
        "import sys, main_generate_sag; status = main_generate_sag.main(sys.argv[1:])\n"
        "sys.exit(status or any(name.partition('.')[0] in ('ray', 'ray_workers') for name in sys.modules))"
    )
    options = [str(o) for o in resnet(images / "a.png", tmp_path / "out", "--max-num-roots", 1)]
    assert (
        subprocess.run(
            [sys.executable, "-c", code, *options], cwd=HERE.parent, capture_output=True
        ).returncode
        == 0
    )


def test_ray_missing_is_one_line(images, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(*resnet(images, tmp_path / "out", "--ray")) == 2
    assert "pip install -r requirements_distributed.txt" in one_line(capsys)


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "ray://here:10001", "nonsense", "127.0.0.1:70000"]
)
def test_a_cluster_that_is_not_there_is_one_line_in_bounded_time(images, tmp_path, capsys, address):
    pytest.importorskip(
        "ray", reason="Ray is not installed: pip install -r requirements_distributed.txt"
    )
    start = time.monotonic()
    assert run(*resnet(images, tmp_path / "out", "--ray", address)) == 2
    assert f"--ray {address}" in one_line(capsys) and time.monotonic() - start < 60


# ---------------------------------------------------------------- jobs


def test_deaths_cost_their_job_alone_and_a_straggler_holds_nobody(cluster, tmp_path):
    from running.ray_workers import each

    jobs = ["slow", *(f"quick{i}" for i in range(6)), "fails", "sick", "deadly"]
    got = {}
    for job, result in each(jobs, "tests.ray_toys:set_up", (str(tmp_path),), cluster.address):
        try:
            got[job] = result()
        except RuntimeError as error:
            got[job] = str(error)
    attempts = {path.stem: path.stat().st_size for path in tmp_path.iterdir()}
    assert attempts == {**dict.fromkeys(jobs, 1), "sick": 2, "deadly": 3}
    assert "3 workers died" in got["deadly"] and got["fails"] == "ValueError: fails failed"
    assert all(got[job] == (job, "cpu") for job in jobs if job not in ("deadly", "fails"))
    order = list(got)
    assert all(order.index(f"quick{i}") < order.index("slow") for i in range(6)) and len(
        order
    ) == len(jobs)


def test_a_machine_that_is_lost_costs_its_job_alone_and_a_new_one_is_used(cluster, tmp_path):
    from running.ray_workers import each

    lost = cluster.add_node(num_cpus=1, object_store_memory=2**27)
    jobs, got = ["slow1", "slow2", "slow3", *(f"quick{i}" for i in range(4))], []

    def lose():
        while len(list(tmp_path.glob("slow*"))) < 3:
            time.sleep(0.1)
        cluster.remove_node(lost, allow_graceful=False)

    thread = threading.Thread(target=lose, daemon=True)
    thread.start()
    got = [
        result()[0]
        for _, result in each(jobs, "tests.ray_toys:set_up", (str(tmp_path),), cluster.address)
    ]
    thread.join()
    assert sorted(got) == sorted(jobs)
    assert sorted(path.stat().st_size for path in tmp_path.glob("slow*")) == [1, 1, 2]


def test_a_lost_machine_with_idle_workers_is_one_death(tmp_path):
    """Three of its four workers have nothing left to do when it goes; the job of the fourth must not be tried on them."""
    pytest.importorskip(
        "ray", reason="Ray is not installed: pip install -r requirements_distributed.txt"
    )
    from ray.cluster_utils import Cluster
    from running.ray_workers import each

    machines = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 2**27}
    )
    lost = machines.add_node(num_cpus=4, memory=2**36, object_store_memory=2**27)

    got = []
    try:
        for _, result in each(
            ["slow", "quick1", "quick2", "quick3"],
            "tests.ray_toys:set_up",
            (str(tmp_path),),
            machines.address,
        ):
            got.append(result()[0])
            if len(got) == 3:
                machines.add_node(num_cpus=1, object_store_memory=2**27)
                machines.remove_node(lost, allow_graceful=False)
    finally:
        machines.shutdown()
    assert (
        sorted(got) == ["quick1", "quick2", "quick3", "slow"]
        and (tmp_path / "slow.attempts").stat().st_size == 2
    )


def test_workers_that_cannot_start_are_one_line(cluster):
    from running.ray_workers import each

    said = []
    with pytest.raises(UserError, match="no such model"):
        list(each([1, 2, 3], "tests.ray_toys:unusable", (), cluster.address, log=said.append))
    with pytest.raises(UserError, match="no GPU"):
        list(each([1], "tests.ray_toys:unusable", (), cluster.address, device="cuda"))


# ---------------------------------------------------------------- the program


def test_the_same_records_as_one_process_though_a_worker_is_killed(
    cluster, images, tmp_path, capsys, one_thread
):
    assert run(*resnet(images, tmp_path / "one")) == 0
    killed = []

    def kill_one():
        while not killed:
            busy = working()
            if len(busy) == 2:
                os.kill(busy[0], signal.SIGKILL)
                killed.append(busy[0])
            time.sleep(0.05)

    threading.Thread(target=kill_one, daemon=True).start()
    assert run(*resnet(images, tmp_path / "many", "--ray", cluster.address)) == 0
    assert len(killed) == 1 and "5 records" in capsys.readouterr().err
    for name in NAMES:
        one, many = tmp_path / "one" / name, tmp_path / "many" / name
        assert but_for_times(one) == but_for_times(many)
        files = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
        assert (
            files == {path.relative_to(many) for path in many.rglob("*") if path.is_file()}
            and len(files) > 10
        )
        assert not [
            f
            for f in files
            if f.suffix in (".png", ".txt", ".dot", ".gif")
            and (one / f).read_bytes() != (many / f).read_bytes()
        ]
    rows = [
        [
            {**row, "seconds": ""}
            for row in csv.DictReader(open(tmp_path / which / "summary.csv", encoding="utf-8"))
        ]
        for which in ("one", "many")
    ]
    assert rows[0] == rows[1] and len(rows[0]) == 5
    assert (
        run(*resnet(images, tmp_path / "many", "--ray", "127.0.0.1:1")) == 0
    )  # all done: no cluster is asked
    assert "5 images there already" in capsys.readouterr().err


def test_the_papers_experiments_measure_the_same(cluster, images, tmp_path, one_thread):
    shutil.copytree(images / "sub", tmp_path / "in")
    for folder, more in (("one", ()), ("many", ("--ray", cluster.address))):
        options = (
            "--images",
            tmp_path / "in",
            "--results",
            tmp_path / folder,
            "--model",
            f"{HERE}/planted.py:resnet",
            "--grid",
            4,
            "--conditions",
            "beam3",
            "--device",
            "cpu",
            *more,
        )
        assert reproduce_paper.main([str(o) for o in options]) == 0
    found = [
        {
            p.relative_to(tmp_path / folder): json.loads(p.read_text())
            for p in (tmp_path / folder).rglob("beam3.json")
        }
        for folder in ("one", "many")
    ]
    for measurement in (m for measurements in found for m in measurements.values()):
        del measurement["finding"]["seconds"]
    assert found[0] == found[1] and len(found[0]) == 2


def test_ctrl_c_ends_the_workers_and_keeps_what_is_finished(cluster, images, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, str(MAIN), *map(str, resnet(images, out, "--ray", cluster.address))]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=HERE.parent)
    while not list(out.rglob("sag.json")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "interrupted" in err and "Traceback" not in err
    end = time.monotonic() + 20
    while working() and time.monotonic() < end:
        time.sleep(0.2)
    assert not working() and 0 < len(list(out.rglob("sag.json"))) < 5
    finished = {path: path.read_bytes() for path in out.rglob("sag.json")}
    assert len(list(csv.DictReader(open(out / "summary.csv", encoding="utf-8")))) >= 1
    assert run(*resnet(images, out)) == 0 and len(list(out.rglob("sag.json"))) == 5
    assert all(path.read_bytes() == content for path, content in finished.items())


def test_the_parquet_summary_says_what_the_csv_says(images, tmp_path, monkeypatch):
    parquet = pytest.importorskip(
        "pyarrow.parquet",
        reason="pyarrow is not installed: pip install -r requirements_distributed.txt",
    )
    shutil.copytree(images / "sub", tmp_path / "in")
    (tmp_path / "in/bad.png").write_bytes(b"no image")
    assert run(*resnet(tmp_path / "in", tmp_path / "out", "--max-num-roots", 1)) == 1
    rows, table = (
        list(csv.DictReader(open(tmp_path / "out/summary.csv", encoding="utf-8"))),
        parquet.read_table(tmp_path / "out/summary.parquet"),
    )
    assert [
        {
            k: "" if v is None else v if isinstance(v, str) else str(v)
            for k, v in row.items()
            if k not in ("probability", "seconds")
        }
        for row in table.to_pylist()
    ] == [{k: v for k, v in row.items() if k not in ("probability", "seconds")} for row in rows]
    assert [row["probability"] for row in table.to_pylist()] == [
        float(row["probability"]) if row["probability"] else None for row in rows
    ]
    assert {str(table.schema.field(name).type) for name in ("roots", "asked", "category")} == {
        "int64"
    } and len(rows) == 3
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert (
        run(*resnet(tmp_path / "in", tmp_path / "out", "--max-num-roots", 1)) == 1
        and not (tmp_path / "out/summary.parquet").exists()
    )
