"""The oracle, and the fallback where vLLM does not install: transformers, read top to bottom."""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, GenerationConfig

from landscape_ray.engine.checkpoint import checkpoint_folder
from landscape_ray.engine.encoding import PROMPT_TOO_LONG, PromptEncoder
from landscape_ray.engine.hardware import cpu_name
from landscape_ray.engine.protocol import EngineFacts, EngineSpec
from landscape_ray.engine.tied_head import check_tied_head
from landscape_ray.errors import CheckpointError, GenerationError, PlacementError
from landscape_ray.evaluation import Benchmark, Completion, LogLikelihood, ScoredText
from landscape_ray.plan import Perturbation
from landscape_ray.weights import BaseWeights, Perturber, WeightsDigest, open_endpoint

__all__ = ["TransformersEngine"]

# Enough to recognise a pattern in an error; a mixture of experts has thousands.
MOST_NAMES = 8
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TransformersEngine:
    """transformers behind the `Engine` protocol; one GPU if there is one, else the CPU."""

    def __init__(self, spec: EngineSpec) -> None:
        """Load the model twice: to run, and as the pristine base.

        Raises:
            CheckpointError: The checkpoint cannot be read, or its tensors are not the model's parameters.
        """
        folder = checkpoint_folder(spec.model, spec.revision)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._encoder = PromptEncoder(folder)
        check_tied_head(folder)
        self._batch_size = spec.run.max_num_seqs
        transformers.logging.disable_progress_bar()  # it would be drawn across the sweep's own
        try:
            self._model: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=DTYPES[spec.dtype],
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # _check_names refuses them, by name
            )
        except (OSError, ValueError) as error:
            msg = f"transformers cannot load {folder}: {error}"
            raise CheckpointError(msg) from error
        self._model.to(self._device).eval()
        # Sampling defaults of the checkpoint must not reach the measurement; what is wanted is passed to `generate`.
        self._model.generation_config = GenerationConfig()
        self._parameters: dict[str, torch.nn.Parameter] = dict(self._model.named_parameters())
        base = BaseWeights.load(
            folder, device=self._device, location=spec.run.base_location, tied_head=self._has_tied_head()
        )
        _check_names(base, self._parameters)
        _check_values(base, self._parameters)
        self._perturber = Perturber(
            base,
            dtype=DTYPES[spec.dtype],
            device=self._device,
            endpoints={
                delta: open_endpoint(checkpoint_folder(delta.location, delta.revision), base) for delta in spec.deltas
            },
        )

    @property
    def facts(self) -> EngineFacts:
        """What the engine is and runs on."""
        return EngineFacts(
            engine=f"transformers {transformers.__version__}",
            torch_version=torch.__version__,
            device=torch.cuda.get_device_name() if self._device.type == "cuda" else cpu_name(),
        )

    def admit(self, benchmarks: Sequence[Benchmark]) -> None:
        """Have room for any: memory is taken as it is needed; see `Engine.admit`."""

    def place(self, perturbation: Perturbation) -> str:
        """Copy perturbed tensors into the live parameters; see `Engine.place`."""
        digest = WeightsDigest()
        with torch.no_grad():
            for name, tensor in self._perturber.tensors(perturbation):
                digest.update(name, tensor)
                parameter = self._parameters[name]
                parameter.copy_(tensor)
                if not (parameter == tensor).all():
                    msg = f"The live parameter {name} is not what was copied into it; the point cannot be measured."
                    raise PlacementError(msg)
        return digest.hexdigest()

    def generate(self, benchmarks: Sequence[Benchmark]) -> list[tuple[Completion, ...]]:
        """Complete all prompts in batches; see `Engine.generate`."""
        jobs = [
            (prompt, min(benchmark.max_new_tokens, self._encoder.context_length - len(prompt)))
            for benchmark in benchmarks
            for prompt in self._encoder.encode(benchmark)
        ]
        # A batch shares its limit of tokens, and runs until its longest output ends: batch what has the same limit.
        order = sorted((i for i, (_, room) in enumerate(jobs) if room > 0), key=lambda i: (jobs[i][1], len(jobs[i][0])))
        completions = [PROMPT_TOO_LONG] * len(jobs)
        for room, group in itertools.groupby(order, key=lambda i: jobs[i][1]):
            for batch in _batched(list(group), self._batch_size):
                for i, completion in zip(batch, self._decode([jobs[i][0] for i in batch], room), strict=True):
                    completions[i] = completion
        rest = iter(completions)
        return [tuple(itertools.islice(rest, len(benchmark.prompts))) for benchmark in benchmarks]

    def log_likelihoods(self, texts: Sequence[ScoredText]) -> list[LogLikelihood | None]:
        """Read texts in batches, each token after those before it; see `Engine.log_likelihoods`."""
        jobs = [self._encoder.encode_scored(text) for text in texts]
        order = sorted(
            (i for i, (ids, _) in enumerate(jobs) if len(ids) < self._encoder.context_length),
            key=lambda i: len(jobs[i][0]),
        )
        found: list[LogLikelihood | None] = [None] * len(jobs)
        for batch in _batched(order, self._batch_size):
            for i, score in zip(batch, self._read([jobs[i] for i in batch]), strict=True):
                found[i] = score
        return found

    def close(self) -> None:
        """Drop the model."""
        del self._model, self._parameters, self._perturber

    @torch.inference_mode()
    def _decode(self, prompts: Sequence[list[int]], max_new_tokens: int) -> list[Completion]:
        """Complete a batch greedily. Shapes: B prompts, T tokens of the longest prompt."""
        longest = max(map(len, prompts))
        ids_BT = torch.full((len(prompts), longest), self._encoder.pad_token_id)
        mask_BT = torch.zeros_like(ids_BT)
        for row, prompt in enumerate(prompts):  # padded on the left: answers begin in one column
            ids_BT[row, longest - len(prompt) :] = torch.tensor(prompt)
            mask_BT[row, longest - len(prompt) :] = 1
        try:
            output: Any = self._model.generate(
                input_ids=ids_BT.to(self._device),
                attention_mask=mask_BT.to(self._device),
                do_sample=False,
                max_new_tokens=max_new_tokens,
                eos_token_id=list(self._encoder.stop_token_ids),
                pad_token_id=self._encoder.pad_token_id,
            )
        except (RuntimeError, ValueError, IndexError) as error:
            msg = f"transformers failed while generating {len(prompts)} completions: {type(error).__name__}: {error}"
            raise GenerationError(msg) from error
        return [self._encoder.complete(self._until_stop(row)) for row in output[:, longest:].tolist()]

    @torch.inference_mode()
    def _read(self, jobs: Sequence[tuple[tuple[int, ...], int]]) -> list[LogLikelihood]:
        """Score a batch. Shapes: B texts, T tokens of the longest, S of them from the first whose logits are needed."""
        longest = max(len(ids) for ids, _ in jobs)
        ids_BT = torch.full((len(jobs), longest), self._encoder.pad_token_id)
        for row, (ids, _) in enumerate(jobs):  # padded on the right, where no scored token looks
            ids_BT[row, : len(ids)] = torch.tensor(ids)
        num_kept = longest - min(first for _, first in jobs) + 1
        try:
            logits_BSV = self._model(input_ids=ids_BT.to(self._device), logits_to_keep=num_kept).logits
        except (RuntimeError, ValueError, IndexError) as error:
            msg = f"transformers failed while scoring {len(jobs)} texts: {type(error).__name__}: {error}"
            raise GenerationError(msg) from error
        scores = []
        for row, (ids, first) in enumerate(jobs):
            scored = torch.tensor(ids[first:], device=self._device)
            start = first - 1 - (longest - num_kept)  # the token before predicts
            log_probabilities = logits_BSV[row, start : start + len(scored)].float().log_softmax(-1)
            each = log_probabilities.gather(-1, scored[:, None])
            scores.append(LogLikelihood(total=float(each.double().sum()), token_ids=ids[first:]))
        return scores

    def _until_stop(self, token_ids: list[int]) -> list[int]:
        """Cut off the padding after the first token that ends a turn."""
        stops = (i for i, token in enumerate(token_ids) if token in self._encoder.stop_token_ids)
        return token_ids[: next(stops, len(token_ids)) + 1]

    def _has_tied_head(self) -> bool:
        head, embedding = self._model.get_output_embeddings(), self._model.get_input_embeddings()
        return head is not None and head.weight is embedding.weight


def _batched(items: list[int], size: int) -> list[list[int]]:
    return [items[first : first + size] for first in range(0, len(items), size)]


def _check_names(base: BaseWeights, parameters: dict[str, torch.nn.Parameter]) -> None:
    """Raise unless checkpoint tensors and model parameters are the same, name by name and shape by shape."""
    misshaped = [
        f"{name} of shape {tuple(base.tensor(name).shape)} in the file, {tuple(parameters[name].shape)} in the model"
        for name in base.names
        if name in parameters and base.tensor(name).shape != parameters[name].shape
    ]
    _refuse(
        ("tensors that the model does not take", [name for name in base.names if name not in parameters]),
        ("parameters that the checkpoint does not hold", [name for name in parameters if name not in base.names]),
        ("different shapes", misshaped),
    )


def _check_values(base: BaseWeights, parameters: dict[str, torch.nn.Parameter]) -> None:
    """Raise if transformers changed a tensor while loading it: copying into it would then place something else."""
    converted = [
        name
        for name, parameter in parameters.items()
        if not torch.equal(parameter, base.tensor(name).to(device=parameter.device, dtype=parameter.dtype))
    ]
    _refuse(("tensors that loading converts", converted))


def _refuse(*problems: tuple[str, list[str]]) -> None:
    found = [
        f"{len(names)} {problem} ({', '.join(names[:MOST_NAMES])}{', ...' if len(names) > MOST_NAMES else ''})"
        for problem, names in problems
        if names
    ]
    if found:
        msg = (
            f"Checkpoint and model do not match tensor by tensor, so perturbed weights could not be placed exactly: "
            f"{'; '.join(found)}. Models whose tensors transformers renames, fuses or converts need the vllm engine."
        )
        raise CheckpointError(msg)
