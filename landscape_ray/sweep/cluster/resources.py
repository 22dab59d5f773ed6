"""What engines get of a cluster: how many of them, on what, and which cores of their node."""

import contextlib
import fcntl
import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from landscape_ray.config import RunConfig
from landscape_ray.errors import ResourceError, in_brief
from landscape_ray.sweep.cluster.tokens import sent_where_asked

__all__ = ["Allotment", "allot", "connection", "forwarded_environment", "hardware", "hide_gpus", "lease_cores"]

FORWARDED_PREFIXES = ("HF_", "TRANSFORMERS_", "VLLM_", "AWS_", "GOOGLE_", "AZURE_", "FSSPEC_")
"""Variables that decide what an engine or the store does: tokens, caches, offline mode, endpoints."""

VISIBLE_DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
NO_DEVICE = "-1"
"""An empty value would be none to HIP."""


@contextlib.contextmanager
def connection(*, must_outlive: bool = False) -> Iterator[None]:
    """Connect to the cluster that RAY_ADDRESS names, or start one on this machine.

    A connection that exists already is used, and left as it is. Without RAY_ADDRESS Ray itself would look for a cluster
    that was once started on this machine, and wait minutes for one that has died.

    Raises:
        ResourceError: There is no cluster at that address, or none could be started.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS", "local")
    if must_outlive and address == "local":
        msg = (
            "Engines are kept by a running Ray cluster, and RAY_ADDRESS names none; the one that a run starts for "
            "itself ends with it. Start one (`ray start --head`, and `ray stop` when you are done), set "
            "RAY_ADDRESS=auto, and run the same command again; or leave out --keep-engines (run.keep_engines_s)."
        )
        raise ResourceError(msg)
    with sent_where_asked(address):
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
        except Exception as error:  # Ray raises bare exceptions here
            raise _no_connection(address, error) from error
        try:
            yield
        finally:
            ray.shutdown()


def _no_connection(address: str, error: Exception) -> ResourceError:
    if address == "local":
        return ResourceError(
            f"Cannot start Ray on this machine; `ray start --head` shows more of why. Ray says: {in_brief(error)}."
        )
    return ResourceError(
        f"Cannot connect to the Ray cluster at RAY_ADDRESS={address}. Check it with `ray status`. To run on this "
        f"machine, unset RAY_ADDRESS. Ray says: {in_brief(error)}."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Allotment:
    """What the engines of a sweep ask of the cluster."""

    num_engines: int
    """Engines at the same time."""
    num_cpus: int
    """CPU cores per engine."""
    num_gpus: int
    """GPUs per engine; 0: the engine computes on its CPU cores."""
    node_labels: tuple[dict[str, str], ...]
    """Labels that its node must have; alternatives in order of preference."""

    @property
    def options(self) -> dict[str, Any]:
        """Options of an engine's actor. Failures are the scheduler's business, so Ray retries nothing."""
        options: dict[str, Any] = {
            "num_cpus": self.num_cpus,
            "num_gpus": self.num_gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
        }
        if self.node_labels:
            options["label_selector"] = self.node_labels[0]
            options["fallback_strategy"] = [{"label_selector": labels} for labels in self.node_labels[1:]]
        return options


def allot(engine: str, run: RunConfig) -> Allotment:
    """Fit engines into the cluster that is connected; an engine lies on one node.

    Raises:
        ResourceError: No engine fits any node, and nothing says that a fitting node will come.
    """
    nodes = [Counter(node["Resources"]) for node in ray.nodes() if node["Alive"]]
    has_gpus = any(node["GPU"] for node in nodes)
    on_gpu = run.accelerator == "gpu" or (run.accelerator == "auto" and engine != "synthetic" and has_gpus)
    needed = Counter(CPU=run.cpus_per_engine, GPU=run.tensor_parallel if on_gpu else 0)
    fitting = sum(min(int(node[name] // needed[name]) for name in +needed) for node in nodes)
    if not fitting and run.accelerator != "gpu":
        asked = " and ".join(f"{num} {name}s" for name, num in (+needed).items())
        most = " and ".join(f"{max((int(node[name]) for node in nodes), default=0)} {name}s" for name in +needed)
        msg = (
            f"No engine fits the cluster. An engine takes {asked} of one node (run.cpus_per_engine, "
            f"run.tensor_parallel); the most that a node has is {most}. Ask for less, connect to a larger cluster "
            "(RAY_ADDRESS), or, if an autoscaler will bring GPU nodes, set run.accelerator=gpu."
        )
        raise ResourceError(msg)
    return Allotment(
        num_engines=run.engines or max(fitting, 1),
        num_cpus=needed["CPU"],
        num_gpus=needed["GPU"],
        node_labels=run.node_labels,
    )


def hardware(allotment: Allotment) -> dict[str, Any]:
    """Return what the cluster offers and each engine takes, for the manifest."""
    nodes = Counter(
        json.dumps({name: amount for name, amount in node["Resources"].items() if name in {"CPU", "GPU"}})
        for node in ray.nodes()
        if node["Alive"]
    )
    return {
        "nodes": [{"num": num, **json.loads(node)} for node, num in nodes.items()],
        "num_engines": allotment.num_engines,
        "cpus_per_engine": allotment.num_cpus,
        "gpus_per_engine": allotment.num_gpus,
    }


def forwarded_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that engines must see as the driver does; Ray does not copy them to other nodes.

    They are handed to the actor itself: a runtime environment, the usual way, is written to Ray's logs with its
    tokens.
    """
    return {name: value for name, value in environment.items() if name.startswith(FORWARDED_PREFIXES)}


def hide_gpus() -> None:
    """Hide the GPUs of this node from this process. Call it before torch or vLLM is imported.

    Ray hides those that an actor did not ask for only from actors that asked for some.
    """
    os.environ.update(dict.fromkeys(VISIBLE_DEVICES, NO_DEVICE))


def lease_cores(num: int) -> tuple[int, ...]:
    """Take cores of this node that no other engine has, and bind the calling thread and all its later ones to them.

    A lease is a lock on a file per core, held until the process ends however it ends. So engines of several sweeps
    get along, and a restarted engine finds the cores of the one before it. Only cores that this process may use
    anyway are taken. Call it before libraries start their threads.

    Returns:
        The cores; none, and nothing is bound, if too few are free.
    """
    folder = Path(tempfile.gettempdir()) / f"landscape-ray-cores-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "choosing").open("w") as choosing:
        fcntl.flock(choosing, fcntl.LOCK_EX)
        leased = _lock_cores(folder, num)
    if leased:
        os.sched_setaffinity(0, leased)
        os.environ["OMP_NUM_THREADS"] = str(num)
    return leased


def _lock_cores(folder: Path, num: int) -> tuple[int, ...]:
    locks: dict[int, int] = {}
    for core in sorted(os.sched_getaffinity(0)):
        lock = os.open(folder / str(core), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        locks[core] = lock  # stays open, and so locked, until the process ends
        if len(locks) == num:
            return tuple(locks)
    for lock in locks.values():
        os.close(lock)
    return ()
