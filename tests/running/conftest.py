"""A Ray cluster for the tests of runs on many machines."""

import os

import pytest

OBJECT_STORE_MEMORY = 2**27  # bytes


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two machines, both of them this one, with room for one worker each."""
    pytest.importorskip(
        "ray", reason="Ray is not installed: pip install -r requirements_distributed.txt"
    )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "object_store_memory": OBJECT_STORE_MEMORY}
    machines = Cluster(initialize_head=True, head_node_args=head)
    machines.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_MEMORY)
    yield machines
    machines.shutdown()
