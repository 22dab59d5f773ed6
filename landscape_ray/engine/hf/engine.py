"""The oracle, and the fallback where vLLM does not install: transformers, read top to bottom."""

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteriaList,
)

from landscape_ray.engine.checkpoints.model_config import read_config, text_config
from landscape_ray.engine.checkpoints.resolution import checkpoint_folder
from landscape_ray.engine.checkpoints.tied_head import check_tied_head
from landscape_ray.engine.hardware import cpu_name
from landscape_ray.engine.hf.drawing import DrawnTokens
from landscape_ray.engine.hf.greedy import greedy_tokens
from landscape_ray.engine.hf.layout import Place, checkpoint_places, live_tensors
from landscape_ray.engine.hf.line_batching import Line
from landscape_ray.engine.hf.reading import Batch, Reader, failures_of_transformers
from landscape_ray.engine.lines.points import coefficients_of, directions_of, point_digest
from landscape_ray.engine.protocol import IN_LINES, IN_PLACE, EngineFacts, EngineSpec
from landscape_ray.engine.stopwatch import Stopwatch
from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.engine.tokens.jobs import Decoded, Job, batched
from landscape_ray.errors import CheckpointError, PlacementError, few_of, in_brief
from landscape_ray.evaluation import Benchmark, Completion, FirstTokens, LogLikelihood, ScoredText
from landscape_ray.planning import ORIGIN, Perturbation, VectorSpec, left_out
from landscape_ray.weights import BaseWeights, Perturber, WeightsDigest, open_endpoint, vector_tensors

__all__ = ["TransformersEngine", "transformers_device"]


class TransformersEngine:
    """transformers behind the `Engine` protocol; one GPU if there is one, else the CPU."""

    def __init__(self, spec: EngineSpec) -> None:
        """Load the model twice: to run, and as the pristine base.

        Raises:
            CheckpointError: The checkpoint cannot be read, or its tensors are not the model's parameters.
        """
        folder = checkpoint_folder(spec.model, spec.revision)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # More threads than cores wait for each other; torch does not see that the thread was bound to fewer.
        torch.set_num_threads(min(torch.get_num_threads(), len(os.sched_getaffinity(0))))
        self.encoder = PromptEncoder(folder)
        check_tied_head(folder)
        self._batch_size = spec.run.max_num_seqs
        self.stopwatch = Stopwatch()
        self.facts = EngineFacts(
            engine=f"transformers {transformers.__version__}",
            torch_version=torch.__version__,
            device=transformers_device(),
            way=IN_LINES if spec.batching == "line" else IN_PLACE,
        )
        transformers.logging.disable_progress_bar()  # it would be drawn across the sweep's own
        try:
            self.model: Any = _class_for(folder).from_pretrained(
                folder,
                dtype=getattr(torch, spec.dtype),
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # _check_names refuses them, by name
                **_attention(folder),
            )
        except (OSError, ValueError) as error:
            msg = f"transformers cannot load {folder}. It says: {in_brief(error)}."
            raise CheckpointError(msg) from error
        self.model.to(self._device).eval()
        # Sampling defaults of the checkpoint must not reach the measurement; what is wanted is passed to `generate`.
        self.model.generation_config = GenerationConfig()
        self._reader = Reader(self.model, self.encoder, self._device, self._batch_size, self.stopwatch)
        parameters = live_tensors(self.model)
        self.places = checkpoint_places(self.model)
        self._parameters = {name: place.view(parameters[place.within]) for name, place in self.places.items()}
        base = BaseWeights.load(
            folder, device=self._device, location=spec.run.base_location, tied_head=self._has_tied_head()
        )
        _check_names(folder, base, self._parameters, parameters, self.places.values())
        _check_values(base, self._parameters)
        self._base = base
        endpoints = {
            delta: open_endpoint(checkpoint_folder(delta.location, delta.revision), base) for delta in spec.deltas
        }
        self._perturber = Perturber(base, dtype=getattr(torch, spec.dtype), device=self._device, endpoints=endpoints)
        # Directions are kept beside the weights from one visit to the next, by the digests of their tensors.
        self._line = Line(self.model, [])
        self._directions: dict[VectorSpec, str] = {}
        self._points_KP = torch.zeros(0, 1)

    def admit(self, benchmarks: Sequence[Benchmark]) -> None:
        """Have room for any: memory is taken as it is needed; see `Engine.admit`."""

    def place(self, perturbation: Perturbation) -> str:
        """Copy perturbed tensors into the live parameters; see `Engine.place`."""
        digest = WeightsDigest()
        self._points_KP = torch.zeros(len(self._directions), 1, device=self._device)
        with torch.no_grad(), self.stopwatch.phase("place"):
            for name, tensor in self._perturber.tensors(perturbation):
                digest.update(name, tensor)
                parameter = self._parameters[name]
                parameter.copy_(tensor)
                if not (parameter == tensor).all():
                    msg = f"The live parameter {name} is not what was copied into it; the point cannot be measured."
                    raise PlacementError(msg)
        return digest.hexdigest()

    def place_points(self, perturbations: Sequence[Perturbation]) -> list[str]:
        """Put the base weights in place and the directions beside them; see `LineEngine.place_points`."""
        origin = self.place(ORIGIN)
        vectors = directions_of(perturbations)
        if not self._directions.keys() >= set(vectors):
            with self.stopwatch.phase("place"):
                self._line = Line(self.model, [])  # makes room
                moves, digests = zip(*map(self._moved, vectors), strict=True)
                self._directions = dict(zip(vectors, digests, strict=True))
                self._line = Line(self.model, moves)
        coefficients = coefficients_of(perturbations, list(self._directions))
        self._points_KP = torch.tensor(coefficients, device=self._device).view(-1, len(perturbations))
        return [point_digest(origin, self._directions, perturbation) for perturbation in perturbations]

    def _moved(self, vector: VectorSpec) -> tuple[dict[str, torch.Tensor], str]:
        """Return what a vector adds to each parameter that it moves, by name, and the digest of its tensors."""
        moved: dict[str, torch.Tensor] = {}
        digest = WeightsDigest()
        parameters = live_tensors(self.model)
        for name, tensor in vector_tensors(vector, self._base, self._perturber.computed, device=self._device):
            if tensor.any():
                digest.update(name, tensor)
                place = self.places[name]
                whole = parameters[place.within]
                if place.within not in moved:
                    moved[place.within] = torch.zeros(whole.shape, device=self._device)
                place.view(moved[place.within]).copy_(tensor)
        return moved, digest.hexdigest()

    def generate(self, benchmarks: Sequence[Benchmark]) -> list[tuple[Completion, ...]]:
        """Complete all prompts in batches; see `Engine.generate`."""
        jobs = self.encoder.jobs(benchmarks)
        (completions,) = self.encoder.completions(benchmarks, jobs, 1, self._decode_alike, self.stopwatch)
        return completions

    def generate_points(self, benchmarks: Sequence[Benchmark]) -> list[list[tuple[Completion, ...]]]:
        """Complete all prompts at all points in batches; see `LineEngine.generate_points`."""
        jobs, num_points = self.encoder.jobs(benchmarks), self._points_KP.shape[1]
        return self.encoder.completions(benchmarks, jobs, num_points, self._decode_at_points, self.stopwatch)

    def _decode_alike(self, jobs: Sequence[Job]) -> list[Decoded]:
        """Complete jobs in batches of equal limits, which a batch shares; it runs until its longest output ends."""

        def limits(i: int) -> tuple[Any, ...]:
            job = jobs[i]
            return job.max_tokens, job.stop_strings, job.in_marks, job.stop_token_ids, job.seed is not None

        found: dict[int, Decoded] = {}
        order = sorted(range(len(jobs)), key=lambda i: (*limits(i), len(jobs[i].prompt)))
        for _, group in itertools.groupby(order, key=limits):
            for batch in batched(list(group), self._batch_size):
                found.update(zip(batch, self._decode([jobs[i] for i in batch]), strict=True))
        return [found[i] for i in range(len(jobs))]

    def _decode_at_points(self, jobs: Sequence[Job]) -> list[Decoded]:
        """Complete jobs in batches, each job at its point."""
        num_before: Counter[int] = Counter()
        places = []
        for job in jobs:  # a job at all points, then the next one
            places.append((len(job.prompt), num_before[job.point], job.point))
            num_before[job.point] += 1
        found: dict[int, Decoded] = {}
        for batch in batched(sorted(range(len(jobs)), key=places.__getitem__), self._batch_size):
            found.update(zip(batch, self._decode_until_ended([jobs[i] for i in batch]), strict=True))
        return [found[i] for i in range(len(jobs))]

    def log_likelihoods_points(self, texts: Sequence[ScoredText]) -> list[list[LogLikelihood | None]]:
        """Read texts at all points in batches; see `LineEngine.log_likelihoods_points`."""
        return self._reader.log_likelihoods(texts, self._points_KP.shape[1], self._at)

    def log_likelihoods(self, texts: Sequence[ScoredText]) -> list[LogLikelihood | None]:
        """Read texts in batches, each token after those before it; see `Engine.log_likelihoods`."""
        (found,) = self._reader.log_likelihoods(texts, 1, lambda _: nullcontext())
        return found

    def first_tokens(self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None) -> list[FirstTokens | None]:
        """Read prompts in batches; see `Engine.first_tokens`."""
        (found,) = self._reader.first_tokens(benchmark, wanted, 1, lambda _: nullcontext())
        return found

    def first_tokens_points(
        self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None
    ) -> list[list[FirstTokens | None]]:
        """Read prompts at all points in batches; see `LineEngine.first_tokens_points`."""
        return self._reader.first_tokens(benchmark, wanted, self._points_KP.shape[1], self._at)

    def close(self) -> None:
        """Drop the model."""
        del self.model, self._reader, self._parameters, self._perturber, self._line

    def _at(self, batch: Batch) -> AbstractContextManager[None]:
        """Let each sequence of a batch, a job at a point, stand at its point."""
        return self._line.batch(self._points_KP[:, [point for _, point in batch]])

    def _decode_until_ended(self, jobs: Sequence[Job]) -> list[Decoded]:
        """Complete a batch greedily, each job at its point; each row ends by itself."""

        def is_cut(row: int, tokens: list[int]) -> bool:
            job = jobs[row]
            return bool(job.stop_strings) and self.encoder.settles(tokens, job.stop_strings, in_marks=job.in_marks)

        def has_ended(row: int, tokens: list[int]) -> bool:
            job = jobs[row]
            return tokens[-1] in job.stop_token_ids or len(tokens) == job.max_tokens or is_cut(row, tokens)

        at = self._at([(row, job.point) for row, job in enumerate(jobs)])
        with failures_of_transformers(f"generating {len(jobs)} completions"), at, self.stopwatch.phase("decode"):
            found = greedy_tokens(
                self.model,
                [job.prompt for job in jobs],
                has_ended=has_ended,
                pad_token_id=self.encoder.pad_token_id,
                on_keep=self._line.keep,
            )
        return [(tokens, is_cut(row, tokens)) for row, tokens in enumerate(found)]

    @torch.inference_mode()
    def _decode(self, jobs: Sequence[Job]) -> list[Decoded]:
        """Complete a batch of equal limits, all greedily or none. Shapes: B prompts, T tokens of the longest prompt."""
        longest = max(len(job.prompt) for job in jobs)
        until_settled = _UntilSettled(self.encoder, jobs[0], num_rows=len(jobs), start=longest)
        ids_BT = torch.full((len(jobs), longest), self.encoder.pad_token_id)
        mask_BT = torch.zeros_like(ids_BT)
        for row, job in enumerate(jobs):  # padded on the left: answers begin in one column
            ids_BT[row, longest - len(job.prompt) :] = torch.tensor(job.prompt)
            mask_BT[row, longest - len(job.prompt) :] = 1
        stops = jobs[0].stop_token_ids
        with failures_of_transformers(f"generating {len(jobs)} completions"), self.stopwatch.phase("decode"):
            output: Any = self.model.generate(
                input_ids=ids_BT.to(self._device),
                attention_mask=mask_BT.to(self._device),
                do_sample=False,  # of logits with noise, where tokens are drawn
                logits_processor=LogitsProcessorList([DrawnTokens(jobs)] if jobs[0].seed is not None else []),
                max_new_tokens=jobs[0].max_tokens,
                eos_token_id=list(stops),
                pad_token_id=self.encoder.pad_token_id,
                stopping_criteria=StoppingCriteriaList([until_settled] if jobs[0].stop_strings else []),
            )
        return [
            (self.encoder.until_stop(row[:settled_at], stops), settled_at is not None)
            for row, settled_at in zip(output[:, longest:].tolist(), until_settled.settled_at, strict=True)
        ]

    def _has_tied_head(self) -> bool:
        head, embedding = self.model.get_output_embeddings(), self.model.get_input_embeddings()
        return head is not None and head.weight is embedding.weight


def transformers_device() -> str:
    """Return the GPU's name, or the CPU's model."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else cpu_name()


class _UntilSettled:
    """Ends each generation of a batch when its verdict is settled."""

    def __init__(self, encoder: PromptEncoder, limits: Job, *, num_rows: int, start: int) -> None:
        self._encoder = encoder
        self._limits = limits
        self._start = start
        self.settled_at: list[int | None] = [None] * num_rows
        """How many tokens each generation took to that, None where it never came to it."""

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        for row, token_ids in enumerate(input_ids[:, self._start :].tolist()):
            # What comes after the end of a turn is padding.
            said = self._encoder.until_stop(token_ids, self._limits.stop_token_ids)
            if self.settled_at[row] is None and self._encoder.settles(
                said, self._limits.stop_strings, in_marks=self._limits.in_marks
            ):
                self.settled_at[row] = len(token_ids)
        return torch.tensor([count is not None for count in self.settled_at], device=input_ids.device)


def _class_for(folder: Path) -> Any:
    """Return what loads a model: of multimodal ones all of it, with a language model that answers to text alone."""
    config = read_config(folder)
    return AutoModelForCausalLM if text_config(config) is config else AutoModelForImageTextToText


def _attention(folder: Path) -> dict[str, str]:
    """Return which attention to load a model with: what transformers takes by default leaves out caps of its logits."""
    capped = getattr(text_config(read_config(folder)), "attn_logit_softcapping", None)
    return {"attn_implementation": "eager"} if capped else {}


def _check_names(
    folder: Path,
    base: BaseWeights,
    found: Mapping[str, torch.Tensor],
    live: Mapping[str, torch.Tensor],
    places: Iterable[Place],
) -> None:
    """Raise unless checkpoint tensors are the model's parameters, name by name and shape by shape."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    misshaped = [
        f"{name} of shape {tuple(base.tensor(name).shape)} in the file, {tuple(found[name].shape)} in the model"
        for name in base.names
        if name in found and base.tensor(name).shape != found[name].shape
    ]
    held = {place.within for place in places}
    extra = [name for name in found if name not in base.names and not left_out(name, config)]
    _refuse(
        ("tensors that the model does not take", [name for name in base.names if name not in found]),
        ("parameters that the checkpoint does not hold", extra + [name for name in live if name not in held]),
        ("different shapes", misshaped),
    )


def _check_values(base: BaseWeights, parameters: Mapping[str, torch.Tensor]) -> None:
    """Raise if transformers changed a tensor while loading it: copying into it would then place something else."""
    converted = [
        name
        for name, parameter in ((name, parameters[name]) for name in base.names)
        if not torch.equal(parameter, base.tensor(name).to(device=parameter.device, dtype=parameter.dtype))
    ]
    _refuse(("tensors that loading converts", converted))


def _refuse(*problems: tuple[str, list[str]]) -> None:
    found = [f"{len(names)} {problem} ({few_of(names)})" for problem, names in problems if names]
    if found:
        msg = (
            f"Checkpoint and model do not match tensor by tensor, so perturbed weights could not be placed exactly: "
            f"{'; '.join(found)}. Models whose tensors transformers mixes while it loads them need the vllm engine."
        )
        raise CheckpointError(msg)
