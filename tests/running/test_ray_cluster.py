"""How many workers a machine of a Ray cluster has room for."""

import sys

import pytest

from running.ray_cluster import MEMORY_PER_WORKER, connect, describe_machine
from utils import UserError

PLENTY = 100 * MEMORY_PER_WORKER


def machine(device, **resources):
    return describe_machine({"NodeID": "node", "Resources": resources}, device)


def test_every_core_has_a_worker():
    assert machine("cpu", CPU=8, memory=PLENTY).max_workers == 8


def test_memory_limits_the_workers():
    assert machine("cpu", CPU=8, memory=3.5 * MEMORY_PER_WORKER).max_workers == 3


def test_fewer_workers_have_more_cores_each():
    assert machine("cpu", CPU=8, memory=2 * MEMORY_PER_WORKER).cores_per_worker == 4


def test_a_small_machine_has_one_worker():
    assert machine("cpu", CPU=2, memory=1).max_workers == 1


def test_every_gpu_has_a_worker():
    assert machine("cuda", CPU=16, GPU=4, memory=1).max_workers == 4


def test_workers_with_a_gpu_share_the_cores():
    assert machine("cuda", CPU=16, GPU=4).cores_per_worker == 4


def test_a_machine_without_a_gpu_has_no_gpu_worker():
    assert machine("cuda", CPU=16, memory=PLENTY).max_workers == 0


def test_a_missing_ray_names_its_requirements(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="pip install -r requirements_distributed.txt"):
        connect("local")
