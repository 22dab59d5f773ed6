"""When several points in one batch are faster than one after the other: a roofline, and its table.

    python benchmarks/line_roofline.py

Pure arithmetic, from a device's bandwidth B and peak F of which shares are attained, and a model of P weights in matrix
products, which are W bytes, with k bytes of key-value cache a token. A point has N prompts of S tokens. A share of the
completions runs to the limit of T tokens, the others end after T0 (refusals are short). Shared in one batch by L points
along K directions::

    decode step, single visit   max(W / B, 2 P n / F) + n c k / B                    n sequences going on, of c tokens
    decode step, line           max((1 + K) W / B, (1 + K) 2 P n L / F) + n L c k / B
    prompts, single visit       max(W / B, 2 P N S / F)
    prompts, line               max((1 + K) W / B, (1 + K) 2 P N S L / F)

Sequences that have ended take no part in later steps. A single visit goes on until its longest output ends, reading all
weights at each step for the few that are left: its *tail*. Memory limits L: a line needs (1 + K) W and N L (S + T) k, a
single visit W for the weights in place, W for the pristine ones (which a line has in place), and N (S + T) k.
"""

import itertools
import math
from dataclasses import dataclass, replace

__all__ = ["DEVICES", "MODELS", "Device", "Model", "Workload", "break_even", "compare", "print_roofline"]

# Of the data sheets' figures: what good kernels attain.
BANDWIDTH_SHARE, PEAK_SHARE, MEMORY_SHARE = 0.8, 0.6, 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What computes."""

    name: str
    """As in the table."""
    bandwidth: float
    """Attained bytes a second."""
    peak: float
    """Attained operations a second in the model's type."""
    memory: float
    """Usable bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is read and multiplied at each step."""

    name: str
    """As in the table."""
    num_weights: float
    """Weights in matrix products; an embedding that is no head is only looked up."""
    weight_bytes: int
    """Bytes of one."""
    kv_bytes: int
    """Key-value cache of one token, in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is asked at each point."""

    num_prompts: int
    """Prompts of a point."""
    num_points: int
    """Points of a line or plane."""
    num_directions: int = 1
    """1 for a line, 2 for a plane."""
    prompt_tokens: int = 64
    """Tokens of a prompt."""
    most_tokens: int = 512
    """Tokens of the longest completions."""
    short_tokens: int = 30
    """Tokens of the others."""
    share_long: float = 1.0
    """Share of the completions that are as long as allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Both ways."""

    point_s: float
    """Seconds a point of single visits, placing left out."""
    line_s: float
    """Seconds a point of a line."""
    num_points: int
    """Points that fit into a batch."""
    tail: float
    """Share of a single visit's time in which fewer than half of its sequences are going on."""

    @property
    def ratio(self) -> float:
        """How many times faster a line is."""
        return self.point_s / self.line_s


def _device(name: str, bandwidth: float, peak: float, memory: float) -> Device:
    return Device(
        name=name, bandwidth=BANDWIDTH_SHARE * bandwidth, peak=PEAK_SHARE * peak, memory=MEMORY_SHARE * memory
    )


# Data sheets: bytes a second, dense bfloat16 operations a second, bytes.
DEVICES = (
    _device("H200", 4.8e12, 989e12, 141e9),
    _device("H100", 3.35e12, 989e12, 80e9),
    _device("A100", 2.04e12, 312e12, 80e9),
)
MODELS = (
    Model(name="Qwen2.5-7B", num_weights=7.07e9, weight_bytes=2, kv_bytes=2 * 28 * 4 * 128 * 2),
    Model(name="Llama-2-7B", num_weights=6.61e9, weight_bytes=2, kv_bytes=2 * 32 * 32 * 128 * 2),
)


def compare(device: Device, model: Model, work: Workload) -> Comparison:
    """Return the seconds of a point in both ways; a line takes as many points as memory holds."""
    num_bytes = model.num_weights * model.weight_bytes
    room = device.memory - (1 + work.num_directions) * num_bytes
    point_bytes = work.num_prompts * (work.prompt_tokens + work.most_tokens) * model.kv_bytes
    num_points = max(1, min(work.num_points, math.floor(room / point_bytes)))
    single, tail = _visit_s(device, model, work, num_points=1, passes=1)
    line, _ = _visit_s(device, model, work, num_points=num_points, passes=1 + work.num_directions)
    return Comparison(point_s=single, line_s=line / num_points, num_points=num_points, tail=tail / single)


def _visit_s(device: Device, model: Model, work: Workload, *, num_points: int, passes: int) -> tuple[float, float]:
    """Return the seconds of a visit, and of its steps in which fewer than half of the sequences are going on."""
    read_s = passes * model.num_weights * model.weight_bytes / device.bandwidth

    def step_s(num_tokens: float, context_tokens: float) -> float:
        operations_s = passes * 2 * model.num_weights * num_tokens / device.peak
        return max(read_s, operations_s) + num_tokens * context_tokens * model.kv_bytes / device.bandwidth

    num_sequences = work.num_prompts * num_points
    num_long = math.ceil(work.share_long * work.num_prompts) * num_points
    short = min(work.short_tokens, work.most_tokens)
    prompts_s = max(read_s, passes * 2 * model.num_weights * num_sequences * work.prompt_tokens / device.peak)
    together_s = short * step_s(num_sequences, work.prompt_tokens + short / 2)
    context_tokens = work.prompt_tokens + (short + work.most_tokens) / 2
    rest_s = (work.most_tokens - short) * step_s(num_long, context_tokens) if num_long else 0.0
    return prompts_s + together_s + rest_s, rest_s if 2 * num_long < num_sequences else 0.0


def break_even(device: Device, model: Model, work: Workload, ratio: float) -> int:
    """Return up to how many prompts a point a line is at least so many times faster; 0 if it never is."""
    slower = (n for n in itertools.count(1) if compare(device, model, replace(work, num_prompts=n)).ratio < ratio)
    return next(slower) - 1


def print_roofline(num_points: int = 20) -> None:
    """Print how many times faster lines and planes of so many points are."""
    prompts = (8, 32, 64, 128)
    heads = [*(f"{n} prompts" for n in prompts), "points in a batch, 32 prompts", "at least 1.5 up to (prompts)"]
    print(f"| device, model | completions | {' | '.join(heads)} |")
    print("|---" * (2 + len(heads)) + "|")
    for device, model in itertools.product(DEVICES, MODELS):
        for share, words in ((1.0, "all to the limit"), (0.1, "a tenth to the limit"), (0.0, "all short")):
            line = Workload(num_prompts=32, num_points=num_points, share_long=share)
            both = (line, replace(line, num_directions=2))

            ratios = [[compare(device, model, replace(work, num_prompts=n)).ratio for work in both] for n in prompts]
            row = [
                f"{device.name}, {model.name}",
                words,
                *(" / ".join(f"{ratio:.1f}" for ratio in pair) for pair in ratios),
                " / ".join(str(compare(device, model, work).num_points) for work in both),
                " / ".join(str(break_even(device, model, work, 1.5)) for work in both),
            ]
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    print_roofline()
