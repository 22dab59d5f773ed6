"""What runs inside each vLLM worker: put perturbed weights into the live model, and account for every tensor.

vLLM mixes `PerturbationWorker` into its worker class (`worker_extension_cls`) and calls its methods by name on every
worker of an engine. The path to trust is vLLM's own reloading, which takes checkpoint-named tensors, fuses, slices,
pads and packs them as at start-up, and copies into the storage that compiled graphs point at. Where the live model
turns out to keep the checkpoint's numbers as they are, the fused pass writes them there directly, once it has been seen
to leave the model as reloading does.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding
from vllm.platforms import current_platform

from landscape_ray.engine.checkpoints.model_config import has_tied_head
from landscape_ray.engine.vllm.direct_writes import DirectWrites
from landscape_ray.engine.vllm.layout import LoadingTrace, model_state
from landscape_ray.engine.vllm.line import VllmLine
from landscape_ray.engine.vllm.placing import Layout
from landscape_ray.engine.vllm.text import named_as_alone
from landscape_ray.errors import PlacementError, few_of, in_brief
from landscape_ray.planning import ORIGIN, CheckpointDelta, Perturbation, RandomVector, VectorSpec
from landscape_ray.weights import (
    BaseWeights,
    FusedPass,
    Perturber,
    Region,
    WeightsDigest,
    kernel_for,
    open_endpoint,
    standard_normals,
    vector_tensors,
    with_base,
)

__all__ = ["PerturbationWorker"]

# The origin, and a point that moves every element of every tensor, to tell where each goes.
PROOF = (ORIGIN, Perturbation.of([(RandomVector(seed=0, normalization="none", excluded=()), 0.01)]))


@dataclass(slots=True)
class _Loading:
    """What one pass through the model's loader saw."""

    expected: dict[str, int]
    """Runtime parameters while they have their loading shapes (packing empties them): name to number of elements."""
    loaded: set[str] | None
    """Runtime parameters that the loader says it filled; None if this model's loader does not say."""
    is_to_repeat: bool = False
    """There were layers that the loader wrote to no effect; see `DirectWrites`."""


class PerturbationWorker:
    """Methods that vLLM's worker gains. `self` is the worker: `model_runner`, `model_config`, `device` are vLLM's."""

    # Attributes of the worker that this class is mixed into.
    model_runner: Any
    reload_weights: Any
    model_config: Any
    parallel_config: Any
    device: torch.device

    def load_base_weights(
        self, folder: str, location: Literal["device", "host"], endpoints: Mapping[CheckpointDelta, str]
    ) -> None:
        """Read the pristine weights that every point is built from, and open the checkpoints that differences lead to.

        Args:
            folder: Folder of the model.
            location: Where the pristine weights are kept.
            endpoints: Folder of each checkpoint.
        """
        model = self.model_runner.get_model()
        self._perturbation_tied = _tied_parameters(model)
        self._direct_writes = DirectWrites(self._perturbation_tied)
        # Of several workers, each keeps no more of the base than its part of the model: whole tensors are mapped files.
        device = self.device if self.parallel_config.tensor_parallel_size == 1 else torch.device("cpu")
        self._base_files, self._base_location = Path(folder), location
        self._tied_head = has_tied_head(self._base_files) and not _has_head_of_its_own(model)
        self._perturbation_base = BaseWeights.load(
            self._base_files, device=device, location=location, tied_head=self._tied_head
        )
        kernel = kernel_for(self._perturbation_base, dtype=self.model_config.dtype, device=self.device)
        self._normals = kernel.normals if kernel else standard_normals
        self._perturber = Perturber(
            self._perturbation_base,
            dtype=self.model_config.dtype,
            device=self.device,
            endpoints={delta: open_endpoint(Path(at), self._perturbation_base) for delta, at in endpoints.items()},
            normals=self._normals,
        )
        self._fused_pass = FusedPass(self._perturber, kernel) if kernel else None
        self._regions: Mapping[str, Sequence[Region]] | None = None
        if hasattr(model, "line"):
            self._line: VllmLine = model.line
            self._line.follow(self.model_runner)

    def place_perturbation(self, perturbation: Perturbation) -> list[int] | str:
        """Put a point's weights into the live model.

        Returns:
            Of weights written in place, what each rectangle of the layout adds to the digest of its tensor; of weights
            reloaded, the digest of the checkpoint-named tensors.

        Raises:
            PlacementError: vLLM skipped, missed or misfitted a tensor; the names are listed.
        """
        if self._fused_pass and self._regions:
            totals = self._fused_pass.write(perturbation, self._regions)
            _repack_heads(self.model_runner.get_model())
            return list(totals.values())
        return self._reload(perturbation)

    def place_direction(self, k: int, vector: VectorSpec) -> str:
        """Put a vector beside the live weights as direction `k`; weights must be placed anew then.

        Returns:
            The digest of its float32 tensors.

        Raises:
            PlacementError: See `place_perturbation`.
        """

        def cast_tensors(digest: WeightsDigest) -> Iterator[tuple[str, torch.Tensor]]:
            for name, tensor in vector_tensors(
                vector, self._perturbation_base, self._perturber.computed, device=self.device, normals=self._normals
            ):
                if tensor.any():
                    digest.update(name, tensor)
                yield name, tensor.to(self.model_config.dtype)

        digest = self._load(cast_tensors)
        self._line.take(k)
        return digest

    def stand_at(self, coefficients_KP: Sequence[Sequence[float]]) -> None:
        """Let there be P points, each with a coefficient for each of K directions; see `VllmLine.stand_at`."""
        self._line.stand_at(coefficients_KP)

    def layers_not_covered(self) -> list[tuple[str, str]]:
        """Return the layers that directions cannot be put beside, and of what kind they are."""
        return self._line.not_covered

    def put_weights_beside(self) -> None:
        """Make a direction of the live weights, and leave zeros in their place."""
        self._line.take(0)
        base = self._perturbation_base
        zeros = {"dtype": self.model_config.dtype, "device": self.device}
        self._load(lambda _: ((name, torch.zeros_like(base.tensor(name), **zeros)) for name in base.names))

    def observe_layout(self) -> Layout:
        """Watch reloading to two points, and return where the live model keeps the checkpoint's tensors."""
        model, dtype = self.model_runner.get_model(), self.model_config.dtype
        problems = [f"{name} is packed" for name, parameter in model.named_parameters() if parameter.numel() == 0]
        if not self._fused_pass:
            problems = ["the fused pass does not run here"]
        self._observed: dict[str, list[Region]] = {}
        self._reloaded_states: list[dict[str, str]] = []
        if not problems:
            trace = LoadingTrace()
            for point in PROOF:
                self._reload(point, trace)
                self._reloaded_states.append(model_state(model))
            self._observed = dict(trace.regions(model))
        regions = [region for name in self._observed for region in self._observed[name]]
        problems += [f"{region.name} is kept in another type" for region in regions if region.target.dtype != dtype]
        return Layout(
            shapes={name: self._perturbation_base.tensor(name).shape for name in self._perturbation_base.names},
            dtype=dtype,
            rectangles=tuple(dict.fromkeys(region.rectangle for region in regions)),
            problems=tuple(problems),
        )

    def prove_layout(self) -> list[str]:
        """Write in place from now on, and return what speaks against it.

        It must leave every tensor of the model as reloading to the same two points did, those that some layers derive
        from their weights among them.
        """
        self._regions = self._observed
        if self.parallel_config.tensor_parallel_size > 1:
            self._regions = with_base(
                self._observed, self._perturbation_base, location=self._base_location, device=self.device
            )
        problems = []
        for point, expected in zip(PROOF, self._reloaded_states, strict=True):
            self.place_perturbation(point)
            found = model_state(self.model_runner.get_model())
            problems += [f"{name} differs" for name, digest in found.items() if digest != expected[name]]
        return problems

    def stay_with_reloading(self) -> None:
        """Reload from now on, with the base weights at hand: of several workers, all of them in host memory."""
        self._regions = None
        if self.parallel_config.tensor_parallel_size > 1:
            self._perturber.base = self._perturbation_base = BaseWeights.load(
                self._base_files, device=self.device, location="host", tied_head=self._tied_head
            )

    def _reload(self, perturbation: Perturbation, trace: LoadingTrace | None = None) -> str:
        """Hand a point's checkpoint tensors to vLLM's reloading."""
        return self._load(lambda digest: self._tensors(perturbation, digest), trace)

    def _load(
        self, tensors: Callable[[WeightsDigest], Iterator[tuple[str, torch.Tensor]]], trace: LoadingTrace | None = None
    ) -> str:
        """Hand checkpoint tensors to vLLM's reloading, and account for each; again where more was to be prepared.

        What yields them adds each to the digest that is returned.
        """
        while self._load_once(tensors(digest := WeightsDigest()), trace).is_to_repeat:
            pass
        return digest.hexdigest()

    def _load_once(self, tensors: Iterator[tuple[str, torch.Tensor]], trace: LoadingTrace | None) -> _Loading:
        model = self.model_runner.get_model()
        fed: dict[str, int] = {}

        def noted() -> Iterator[tuple[str, torch.Tensor]]:
            for name, tensor in tensors:
                fed[name] = tensor.numel()
                yield name, tensor

        with _observed_loading(model, self._direct_writes) as loading, trace or nullcontext():
            try:
                self.reload_weights(weights_iterator=named_as_alone(trace.feed(noted()) if trace else noted()))
            except (ValueError, KeyError, AssertionError, RuntimeError) as error:
                last = next(reversed(fed), "the first tensor")
                msg = f"vLLM could not load the perturbed weights at or after {last!r}. It says: {in_brief(error)}."
                raise PlacementError(msg) from error
        self._check_complete(model, fed, loading)
        # What is loaded is packed anew; of tied modules that is the first only.
        for name, first in self._perturbation_tied.items():
            source = model.get_submodule(first.rpartition(".")[0])
            if hasattr(source, "cpu_linear"):
                model.get_submodule(name.rpartition(".")[0]).cpu_linear = source.cpu_linear
        return loading

    def _tensors(self, perturbation: Perturbation, digest: WeightsDigest) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield checkpoint tensors at a point, and add each to the digest."""
        if self._fused_pass:
            yield from self._fused_pass.tensors(perturbation, digest)
            return
        for name, tensor in self._perturber.tensors(perturbation):
            digest.update(name, tensor)
            yield name, tensor

    def _check_complete(self, model: torch.nn.Module, fed: dict[str, int], loading: _Loading) -> None:
        """Raise unless every checkpoint tensor was read and every runtime parameter was filled."""
        expected = {name: n for name, n in loading.expected.items() if name not in self._perturbation_tied}
        problems = []
        if unread := [name for name in self._perturbation_base.names if name not in fed]:
            problems.append(f"checkpoint tensors not asked for: {few_of(unread)}")
        if loading.loaded is not None and (unfilled := sorted(expected.keys() - loading.loaded)):
            problems.append(f"parameters of the engine not filled: {few_of(unfilled)}")
        # Elements are counted where one worker holds the whole model; with tensor parallelism slices overlap.
        if self.parallel_config.tensor_parallel_size == 1:
            num_expected = sum(expected.values()) - _num_padding(model, self._perturbation_tied)
            if num_expected != sum(fed.values()):
                problems.append(
                    f"the checkpoint holds {sum(fed.values()):,} weights in {len(fed):,} tensors, the engine takes "
                    f"{num_expected:,} in {len(expected):,} parameters"
                )
        if problems:
            msg = f"vLLM did not take every perturbed tensor: {'; '.join(problems)}. The point cannot be measured."
            raise PlacementError(msg)


@contextmanager
def _observed_loading(model: torch.nn.Module, direct_writes: DirectWrites) -> Iterator[_Loading]:
    """Note what passes through `model.load_weights`, whose answer vLLM's reloading only logs."""
    loading = _Loading(expected={}, loaded=None)
    load_weights: Any = model.load_weights

    def load_and_note(weights: Iterable[tuple[str, torch.Tensor]]) -> Any:
        loading.expected = {name: parameter.numel() for name, parameter in model.named_parameters()}
        _unset_expert_kernels(model)
        direct_writes.prepare()
        loading.loaded = load_weights(weights)
        loading.is_to_repeat = direct_writes.settle(model)
        return loading.loaded

    model.load_weights = load_and_note  # type: ignore[assignment]
    try:
        yield loading
    finally:
        del model.load_weights  # the class's method shows again


def _tied_parameters(model: torch.nn.Module) -> dict[str, str]:
    """Return later names of parameters that several modules share, such as `lm_head.weight`, with the first ones."""
    first: dict[int, str] = {}
    return {
        name: first[id(parameter)]
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if first.setdefault(id(parameter), name) != name
    }


def _has_head_of_its_own(model: torch.nn.Module) -> bool:
    """Tell whether some head's weights are no embedding's; models without a head module use their embedding."""
    layers = [module for module in model.modules() if isinstance(module, VocabParallelEmbedding)]
    embeddings = {id(layer.weight) for layer in layers if not isinstance(layer, ParallelLMHead)}
    return any(id(layer.weight) not in embeddings for layer in layers if isinstance(layer, ParallelLMHead))


def _num_padding(model: torch.nn.Module, tied: Collection[str]) -> int:
    """Return how many elements the model's vocabulary padding adds to what the checkpoint holds."""
    return sum(
        (module.num_embeddings_padded - module.org_vocab_size) * module.embedding_dim
        for name, module in model.named_modules()
        if isinstance(module, VocabParallelEmbedding) and f"{name}.weight" not in tied
    )


def _unset_expert_kernels(model: torch.nn.Module) -> None:
    """Have the experts that are loaded next packed as those were that were loaded first, on a CPU.

    vLLM packs experts there when it sets up their kernel, and takes a kernel that is set up for a sign that nothing is
    left to do: its kernel would read unpacked weights as packed ones, also after coming back to the origin.
    """
    if not current_platform.is_cpu():
        return
    for module in model.modules():
        method = getattr(module, "quant_method", None)
        if getattr(method, "moe_kernel", None) is not None:
            method.moe_kernel = None  # type: ignore[union-attr]


def _repack_heads(model: torch.nn.Module) -> None:
    """Let heads and embeddings see weights that were written in place, on a CPU.

    There a head computes with a packed copy made at load, and would silently keep the weights it started with.
    """
    if not current_platform.is_cpu():
        return
    for module in model.modules():
        if isinstance(module, VocabParallelEmbedding):
            module.quant_method.process_weights_after_loading(module)
