"""vLLM with several points of a line or plane in one batch; `line` is what runs inside of its workers."""

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from landscape_ray.engine.lines.points import coefficients_of, directions_of, point_digest
from landscape_ray.engine.lines.twin import not_covered
from landscape_ray.engine.protocol import IN_LINES, EngineSpec
from landscape_ray.engine.vllm.engine import VllmEngine
from landscape_ray.engine.vllm.line import LOAD_FORMAT, NUM_DIRECTIONS, POINT
from landscape_ray.errors import CheckpointError, PlacementError, ResourceError
from landscape_ray.planning import ORIGIN, Perturbation, VectorSpec

__all__ = ["VllmLineEngine"]

PROBE_TOKENS = 32
# What rounding in another order may do to a token's log-likelihood; so far it has done nothing.
NATS = {"float32": 1e-3, "bfloat16": 0.2, "float16": 0.2}


class VllmLineEngine(VllmEngine):
    """`VllmEngine` behind the `LineEngine` protocol."""

    def __init__(self, spec: EngineSpec) -> None:
        """Start vLLM, and prove that directions can be held beside this model's weights.

        Raises:
            CheckpointError: They cannot; or as of `VllmEngine`.
            ResourceError: As of `VllmEngine`.
            PlacementError: As of `VllmEngine`.
        """
        # The other model runner has no place where coefficients can be filled in.
        os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "0"
        # The digest of the placed weights where those are the base weights.
        self._origin: str | None = None
        # What is beside them, with the digests of its tensors.
        self._directions: list[tuple[VectorSpec, str] | None] = [None] * spec.num_directions
        super().__init__(spec, load_format=LOAD_FORMAT, additional_config={NUM_DIRECTIONS: spec.num_directions})
        try:
            self._prove(spec.dtype)
        except BaseException:
            self.close()
            raise

    def _begin_placing(self, spec: EngineSpec, folder: Path) -> str:
        super()._begin_placing(spec, folder)
        return IN_LINES

    def place(self, perturbation: Perturbation) -> str:
        """Put perturbed weights into every worker; see `Engine.place`."""
        self._origin = None
        digest = super().place(perturbation)
        if perturbation == ORIGIN:
            self._origin = digest
        return digest

    def place_points(self, perturbations: Sequence[Perturbation]) -> list[str]:
        """Put the base weights in place and the directions beside them; see `LineEngine.place_points`."""
        vectors = directions_of(perturbations)
        if len(vectors) > len(self._directions):
            msg = f"The engine was built for points along {len(self._directions)} directions, not {len(vectors)}."
            raise ResourceError(msg)
        if [vector for vector in self._held() if vector in vectors] != vectors:
            with self.stopwatch.phase("place"):
                self._put_beside(vectors)
        origin = self._origin or self.place(ORIGIN)
        digests = dict(direction for direction in self._directions if direction)
        found = [point_digest(origin, digests, perturbation) for perturbation in perturbations]
        self._stand_at(coefficients_of(perturbations, self._held()), found)
        return found

    def _held(self) -> list[VectorSpec | None]:
        return [direction and direction[0] for direction in self._directions]

    def _put_beside(self, vectors: Sequence[VectorSpec]) -> None:
        """Put these vectors beside the weights, and no others; weights must be placed anew then."""
        self._origin = None
        for k, held in enumerate(self._held()):
            if k >= len(vectors) or held != vectors[k]:
                self._directions[k] = None
        for k, vector in enumerate(vectors):
            if self._directions[k] is None:
                digests: set[str] = set(self._llm.collective_rpc("place_direction", args=(k, vector)))
                if len(digests) != 1:
                    msg = f"The workers of one engine put different tensors beside the weights: {sorted(digests)}."
                    raise PlacementError(msg)
                self._directions[k] = vector, digests.pop()

    def _stand_at(self, coefficients_KP: Sequence[Sequence[float]], digests: Sequence[str]) -> None:
        with self.stopwatch.phase("place"):
            self._llm.collective_rpc("stand_at", args=(coefficients_KP,))
        self._points = [
            (self._new_salt(digest), {"extra_args": {POINT: point}}) for point, digest in enumerate(digests)
        ]

    def _prove(self, dtype: str) -> None:
        """Make sure that directions beside the weights do all that weights do, wherever vLLM uses those.

        With the base weights as a direction, zeros in their place and a coefficient of 1, every layer must give what it
        gives with the base weights; and that whatever else is in a batch.

        Raises:
            CheckpointError: Some layer is not covered, or does not.
        """
        (layers, *_) = self._llm.collective_rpc("layers_not_covered")
        if layers:
            raise not_covered(*layers[0])
        config = self._llm.llm_engine.model_config
        num_tokens = min(PROBE_TOKENS, config.max_model_len - 1)
        probe = tuple(i * config.get_vocab_size() // num_tokens for i in range(num_tokens))
        (expected,) = self._token_scores([(0, probe)])
        self._llm.collective_rpc("put_weights_beside")
        others = [[0.0, 0.0]] * (len(self._directions) - 1)
        self._stand_at([[1.0, 0.5], *others], ["whole", "half"])
        (half,) = self._token_scores([(1, probe)])
        found = self._token_scores([(1, probe), (0, probe), (1, probe)])
        self.place(ORIGIN)
        pairs = zip([*half, *expected, *half], itertools.chain.from_iterable(found), strict=True)
        difference = max(abs(a - b) for a, b in pairs)
        if not difference <= NATS[dtype]:  # nor if it is not a number
            msg = (
                "The model cannot be measured with several points in a batch: with zeros for its weights and its "
                f"weights beside them, log-likelihoods differ by up to {difference:.3g} nats a token from what they "
                "are. So it uses weights in a way that is not covered. Set batching: point."
            )
            raise CheckpointError(msg)
