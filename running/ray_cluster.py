"""A Ray cluster: connect to it, and how many workers each of its machines has room for.

Ray is imported here only, inside a function, so that runs without the option --ray do not need it.
"""

import logging
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from utils import UserError, one_line

LOCAL = "local"  # address of a cluster of this machine alone, started for this run
MEMORY_PER_WORKER = 3 * 2**30  # bytes, of a worker without a GPU; up to 1.4 GiB were measured
OBJECT_STORE_MEMORY = 100 * 2**20  # bytes, of a local cluster; results are small
CONNECT_SECONDS = 10  # time that a port has to accept a connection
ANSWER_SECONDS = 60  # time that a cluster has to answer
QUIET = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": False}
PROBE = "import sys, ray; ray.init(sys.argv[1], log_to_driver=False)"


@dataclass(frozen=True)
class Machine:
    """A machine of the cluster that is alive.

    Attributes:
        node_id: Ray's name for the machine.
        max_workers: Number of workers that it has room for.
        cores_per_worker: CPU cores, and threads, of each of them.
    """

    node_id: str
    max_workers: int
    cores_per_worker: int


def connect(address: str) -> Any:
    """Return the ray module, connected to a cluster.

    Raises:
        UserError: Ray is not installed, or no cluster answered within about a minute.
    """
    ray = import_ray()
    try:
        if address == LOCAL:
            start_local_cluster(ray)
        else:
            check_cluster_answers(address)
            ray.init(address, **QUIET)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UserError(f"--ray {address}: {one_line(error)[:300]}") from None
    return ray


def import_ray() -> Any:
    """Return the ray module, with usage reports and log lines switched off."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError(
            f"--ray: Ray cannot be imported ({one_line(error)}): "
            "pip install -r requirements_distributed.txt"
        ) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


def start_local_cluster(ray: Any) -> None:
    """Start a cluster of this machine alone, with the CPU cores that this process may use."""
    available = os.cpu_count() or 1
    allowed = available
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    ray.init(
        LOCAL,
        num_cpus=allowed if allowed < available else None,
        object_store_memory=OBJECT_STORE_MEMORY,
        include_dashboard=False,
        **QUIET,
    )


def check_cluster_answers(address: str) -> None:
    """Raise UserError unless a Ray cluster answers at an address.

    ray.init alone would try for minutes and fill the screen with its attempts, so a connection to
    the port is tried first, and then ray.init in a process of its own.
    """
    if "://" in address:
        raise UserError(
            f"--ray {address}: start the run on a machine of the cluster, with its HOST:PORT "
            "(the port is 6379 by default) or auto"
        )
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise UserError(
                f"--ray {address}: no Ray cluster answers there ({one_line(error)})"
            ) from None
    command = [sys.executable, "-c", PROBE, address]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        raise UserError(
            f"--ray {address}: no Ray cluster answered there within {ANSWER_SECONDS} seconds"
        ) from None
    if probe.returncode:
        lines = probe.stderr.strip().splitlines() or ["Ray cannot connect"]
        raise UserError(f"--ray {address}: {lines[-1][:300]}")


def choose_device(ray: Any, device: str) -> str:
    """Return the device of the workers: "cuda" or "cpu".

    Raises:
        UserError: GPUs were asked for, and the cluster has none.
    """
    has_gpus = bool(ray.cluster_resources().get("GPU", 0))
    if device == "cuda" and not has_gpus:
        raise UserError("--device cuda: the Ray cluster has no GPU")
    if device == "auto":
        return "cuda" if has_gpus else "cpu"
    return device


def describe_machine(node: dict, device: str) -> Machine:
    """Return how many workers for a device a machine has room for.

    Args:
        node: The machine, as an entry of ray.nodes().
        device: "cuda": as many workers as GPUs; otherwise as many as CPU cores, but at most one
            for each MEMORY_PER_WORKER bytes.
    """
    resources = node["Resources"]
    cores = int(resources.get("CPU", 0))
    if device == "cuda":
        max_workers = int(resources.get("GPU", 0))
    else:
        max_in_memory = int(resources.get("memory", 0) // MEMORY_PER_WORKER)
        max_workers = min(cores, max(1, max_in_memory))
    return Machine(node["NodeID"], max_workers, max(1, cores // max(1, max_workers)))
