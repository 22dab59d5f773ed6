"""`run`: how a sweep is run; nothing here changes a measured number."""

from typing import Literal, Self

from pydantic import Field, model_validator

from landscape_ray.config.section import Section

__all__ = ["RunConfig", "SyntheticFaults"]


class SyntheticFaults(Section):
    """What goes wrong, on demand, in the synthetic engine; for tests of the sweep itself."""

    delay_s: float = Field(default=0.0, ge=0.0)
    """Seconds that each visit takes."""
    start_delay_s: float = Field(default=0.0, ge=0.0)
    """Seconds that the engine takes to start."""
    failure_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of visits that raise an error (pseudo-random in point and attempt)."""
    death_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of visits at which the process dies (pseudo-random in point and attempt)."""
    hang_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of visits that never end (pseudo-random in point and attempt)."""
    out_of_memory_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    """Share of visits that run out of memory (pseudo-random in point and attempt)."""
    poison_coordinates: tuple[tuple[float, ...], ...] = ()
    """Grid coordinates at which every attempt fails."""
    poison_prompts: tuple[str, ...] = ()
    """Ids of prompts on which the engine fails, everywhere."""
    deadly_coordinates: tuple[tuple[float, ...], ...] = ()
    """Grid coordinates at which every attempt ends the process."""


class RunConfig(Section):
    """How the sweep is run; nothing here changes a measured number."""

    engines: int | None = Field(default=None, ge=1)
    """Most engine actors. Null: one per GPU of the cluster, or without any GPU one per `cpus_per_engine` cores. Set it
    where an autoscaler is to bring nodes: engines that wait for a node are what makes a cluster grow."""
    min_engines: int = Field(default=1, ge=1)
    """Engines that stay up until the sweep ends, though they have nothing to do; the others end, so that an autoscaler
    can take their nodes away."""
    keep_engines_s: float = Field(default=0.0, ge=0.0)
    """Seconds that engines stay up after the sweep for the next one that needs engines built in the same way; on a
    running Ray cluster only. 0: they end with the sweep."""
    accelerator: Literal["auto", "gpu", "cpu"] = "auto"
    """What engines compute on. `auto`: GPUs if the cluster has any (the synthetic engine: CPU cores); `gpu`: GPUs, and
    if there are none yet, wait for an autoscaler to bring them; `cpu`: CPU cores, even beside GPUs."""
    node_labels: tuple[dict[str, str], ...] = ()
    """Labels that an engine's node must have; alternatives in order of preference. Empty: any node. To prefer spot
    nodes give node types a `priority` in the cluster file: the autoscaler waits for the first alternative here."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs per engine. Prefer 1, and more engines, when the model fits one GPU."""
    cpus_per_engine: int = Field(default=1, ge=1)
    """CPU cores per engine; without a GPU these are the cores the engine computes on."""
    max_attempts: int = Field(default=3, ge=1)
    """Attempts at a point before it is given up and reported as failed."""
    max_engine_restarts: int = Field(default=8, ge=0)
    """Restarts of one engine in a row, without a visit done in between, before it is left off."""
    visit_timeout_s: float = Field(default=3600.0, gt=0)
    """Seconds that a visit may take; then its engine counts as hung and is replaced."""
    base_location: Literal["device", "host"] = "device"
    """Where the pristine weights live: on the accelerator (fast) or in pinned host memory (saves one model copy). With
    `tensor_parallel` each GPU has the part that it computes with."""
    kv_cache_gib: float | None = Field(default=None, gt=0)
    """Size of vLLM's key-value cache in GiB. A fixed size keeps batching equal on every engine. Null: on a GPU what
    `gpu_memory_utilization` leaves, on a CPU 1 GiB."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of GPU memory that vLLM plans with when `kv_cache_gib` is null; the base copy is subtracted from it."""
    max_num_seqs: int = Field(default=128, ge=1)
    """Most sequences decoded at once by one engine."""
    points_per_visit: int = Field(default=16, ge=1)
    """Most points of one visit where `batching` is `line`. `max_num_seqs` should hold all of their prompts."""
    enforce_eager: bool = False
    """Do without CUDA graphs and compilation (slower; always so on CPU)."""
    strict: bool = False
    """Use vLLM's batch-invariant kernels (GPUs only, slower): an answer then does not depend on what else is in its
    batch. Stored with each result, because answers may differ from those of the usual kernels."""
    synthetic: SyntheticFaults = SyntheticFaults()
    """Faults of the synthetic engine."""

    @model_validator(mode="after")
    def _check_engines(self) -> Self:
        if self.engines is not None and self.min_engines > self.engines:
            msg = f"min_engines is {self.min_engines}, more than engines, which is {self.engines}"
            raise ValueError(msg)
        return self
