"""The worker pool on a real Ray cluster whose workers and machines die."""

import threading
import time
from types import SimpleNamespace

import pytest

from running.ray_workers import run_jobs
from utils import UserError

SET_UP = "tests.running.ray_toys:set_up"
SET_UP_FAILS = "tests.running.ray_toys:set_up_fails"
QUICK = [f"quick{i}" for i in range(6)]
OBJECT_STORE_MEMORY = 2**27  # bytes


def attempts(folder):
    """Return how often each job was begun."""
    return {path.stem: path.stat().st_size for path in folder.glob("*.attempts")}


# ---------------------------------------------------------------- jobs that fail, kill, take long


@pytest.fixture(scope="module")
def run(cluster, tmp_path_factory):
    """Finished jobs by name, in the order in which they finished, and the attempts at each."""
    folder = tmp_path_factory.mktemp("jobs")
    jobs = ["slow", *QUICK, "fails", "sick", "deadly"]
    finished = list(run_jobs(jobs, SET_UP, (str(folder),), address=cluster.address))
    return SimpleNamespace(
        jobs=jobs,
        order=[entry.job for entry in finished],
        finished={entry.job: entry for entry in finished},
        attempts=attempts(folder),
    )


def test_every_job_finishes_once(run):
    assert sorted(run.order) == sorted(run.jobs)


@pytest.mark.parametrize("job", ["slow", *QUICK])
def test_a_job_that_works_is_done_once(run, job):
    assert run.attempts[job] == 1


@pytest.mark.parametrize("job", ["slow", *QUICK, "sick"])
def test_a_finished_job_has_its_value(run, job):
    assert run.finished[job].value == (job, "cpu")


def test_an_error_is_reported_in_one_line(run):
    assert run.finished["fails"].error == "ValueError: fails failed"


def test_a_job_that_raises_is_not_repeated(run):
    assert run.attempts["fails"] == 1


def test_a_job_whose_worker_died_is_repeated(run):
    assert run.attempts["sick"] == 2


def test_a_job_that_kills_three_workers_is_given_up(run):
    assert run.attempts["deadly"] == 3


def test_a_job_given_up_says_why(run):
    assert "3 workers died" in run.finished["deadly"].error


@pytest.mark.parametrize("job", QUICK)
def test_a_slow_job_holds_no_other_up(run, job):
    assert run.order.index(job) < run.order.index("slow")


# ---------------------------------------------------------------- machines that are lost


@pytest.fixture(scope="module")
def run_with_lost_machine(cluster, tmp_path_factory):
    """A run that loses one of three machines while all three are busy."""
    folder = tmp_path_factory.mktemp("lost")
    lost = cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_MEMORY)
    jobs = ["slow1", "slow2", "slow3", *QUICK[:4]]

    def lose_machine():
        while len(list(folder.glob("slow*"))) < 3:
            time.sleep(0.1)
        cluster.remove_node(lost, allow_graceful=False)

    thread = threading.Thread(target=lose_machine, daemon=True)
    thread.start()
    finished = list(run_jobs(jobs, SET_UP, (str(folder),), address=cluster.address))
    thread.join()
    return SimpleNamespace(jobs=jobs, finished=finished, attempts=attempts(folder))


def test_a_lost_machine_loses_no_job(run_with_lost_machine):
    values = [finished.value[0] for finished in run_with_lost_machine.finished]
    assert sorted(values) == sorted(run_with_lost_machine.jobs)


def test_a_lost_machine_costs_its_own_job_alone(run_with_lost_machine):
    assert sorted(run_with_lost_machine.attempts.values()) == [1, 1, 1, 1, 1, 1, 2]


@pytest.fixture(scope="module")
def run_on_new_machine(tmp_path_factory):
    """A run whose only machine is lost, with three idle workers, and replaced by a new one."""
    pytest.importorskip(
        "ray", reason="Ray is not installed: pip install -r requirements_distributed.txt"
    )
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("new")
    head = {"num_cpus": 0, "object_store_memory": OBJECT_STORE_MEMORY}
    machines = Cluster(initialize_head=True, head_node_args=head)
    lost = machines.add_node(num_cpus=4, memory=2**36, object_store_memory=OBJECT_STORE_MEMORY)
    jobs = ["slow", *QUICK[:3]]
    finished = []
    try:
        for entry in run_jobs(jobs, SET_UP, (str(folder),), address=machines.address):
            finished.append(entry)
            if len(finished) == 3:
                machines.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_MEMORY)
                machines.remove_node(lost, allow_graceful=False)
    finally:
        machines.shutdown()
    return SimpleNamespace(jobs=jobs, finished=finished, attempts=attempts(folder))


def test_a_machine_that_joins_later_gets_the_jobs(run_on_new_machine):
    values = [finished.value[0] for finished in run_on_new_machine.finished]
    assert sorted(values) == sorted(run_on_new_machine.jobs)


def test_a_job_is_not_repeated_on_a_lost_machine(run_on_new_machine):
    assert run_on_new_machine.attempts["slow"] == 2


# ---------------------------------------------------------------- arguments


def test_arguments_may_be_of_the_projects_types(cluster, tmp_path, monkeypatch):
    from tests.running.ray_toys import Words

    monkeypatch.chdir(tmp_path)  # Ray itself adds the current folder to the path of a worker
    set_up = "tests.running.ray_toys:set_up_with_words"
    finished = list(run_jobs(["you"], set_up, (Words("Hello"),), address=cluster.address))
    assert [entry.value for entry in finished] == ["Hello you"]


# ---------------------------------------------------------------- GPUs


@pytest.fixture(scope="module")
def run_on_gpu(tmp_path_factory):
    """A run on a machine that claims to have one GPU, which Ray does not check."""
    pytest.importorskip(
        "ray", reason="Ray is not installed: pip install -r requirements_distributed.txt"
    )
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("gpu")
    head = {"num_cpus": 2, "num_gpus": 1, "object_store_memory": OBJECT_STORE_MEMORY}
    machines = Cluster(initialize_head=True, head_node_args=head)
    try:
        jobs = ["meets1", "meets2"]
        arguments = (str(folder),)
        return list(run_jobs(jobs, SET_UP, arguments, address=machines.address, at_once=2))
    finally:
        machines.shutdown()


def test_a_worker_with_a_gpu_runs_jobs_together(run_on_gpu):
    assert [finished.error for finished in run_on_gpu] == [None, None]


def test_workers_use_the_gpus_of_a_cluster(run_on_gpu):
    assert [finished.value[1] for finished in run_on_gpu] == ["cuda", "cuda"]


# ---------------------------------------------------------------- workers that cannot start


def test_a_failed_set_up_ends_the_run(cluster):
    with pytest.raises(UserError, match="a worker cannot start: no such model"):
        list(run_jobs([1, 2, 3], SET_UP_FAILS, (), address=cluster.address))


def test_a_failed_set_up_is_logged_per_machine(cluster):
    lines = []
    finished = run_jobs([1, 2], SET_UP_FAILS, (), address=cluster.address, log_line=lines.append)
    with pytest.raises(UserError):
        list(finished)
    assert lines == ["a worker cannot start: no such model"] * 2


def test_gpus_need_a_cluster_that_has_some(cluster):
    finished = run_jobs([1], SET_UP, ("",), address=cluster.address, device="cuda")
    with pytest.raises(UserError, match="the Ray cluster has no GPU"):
        list(finished)
