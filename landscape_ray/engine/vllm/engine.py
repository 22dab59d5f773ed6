"""The engine of the product: vLLM in this process, perturbed weights loaded in place."""

import contextlib
import itertools
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from landscape_ray.engine.checkpoints.resolution import checkpoint_folder
from landscape_ray.engine.checkpoints.tied_head import check_tied_head
from landscape_ray.engine.protocol import EngineFacts, EngineSpec
from landscape_ray.engine.stopwatch import Stopwatch
from landscape_ray.engine.tokens.encoding import PromptEncoder
from landscape_ray.engine.tokens.jobs import Decoded, Job, batched
from landscape_ray.engine.vllm.library import import_vllm, vllm_device
from landscape_ray.engine.vllm.placing import Placing
from landscape_ray.engine.vllm.settings import common_settings, context_needed
from landscape_ray.engine.vllm.start import start_vllm, stop_vllm
from landscape_ray.errors import GenerationError, PlacementError, ResourceError, in_brief
from landscape_ray.evaluation import NUM_TOKENS, Benchmark, Completion, FirstTokens, LogLikelihood, ScoredText
from landscape_ray.planning import ORIGIN, Perturbation

__all__ = ["LoadedVllm", "VllmEngine"]

# Tokens to score at one place; vLLM takes 128.
MAX_GROUP = 64


class VllmEngine:
    """vLLM behind the `Engine` protocol.

    The engine core runs in this process (no orphan keeps a GPU, scheduling is deterministic); only with tensor
    parallelism do workers get processes of their own. One engine per process.
    """

    def __init__(self, spec: EngineSpec, **settings: Any) -> None:
        """Start vLLM; takes tens of seconds.

        Args:
            spec: What to build.
            **settings: Of vLLM, in place of those that follow from the specification.

        Raises:
            ResourceError: vLLM found no room for the model, or has no kernels for `run.strict` here.
            TransientError: Another process holds the memory.
            GenerationError: vLLM did not start, and does not say whether it ever will.
            CheckpointError: The checkpoint cannot be read.
            PlacementError: vLLM's loader does not take every tensor of the checkpoint.
        """
        vllm = import_vllm(spec.run)
        import torch  # noqa: PLC0415 - which vLLM has imported by now

        folder = checkpoint_folder(spec.model, spec.revision)
        self._encoder = PromptEncoder(folder)
        check_tied_head(folder)
        self.stopwatch = Stopwatch()
        self._visits = itertools.count()
        # Of each point that the engine is at: the salt of its cached blocks, and settings of its requests.
        self._points: list[tuple[str, dict[str, Any]]] = []
        began = time.perf_counter()
        self._llm = start_vllm({**self._settings(spec, folder), **settings}, str(folder))
        built = time.perf_counter()
        way = self._begin_placing(spec, folder)
        self.facts = EngineFacts(
            engine=f"vllm {vllm.__version__}{' batch-invariant' if spec.run.strict else ''}",
            torch_version=torch.__version__,
            device=vllm_device(),
            way=way,
            start_s={
                "vllm": built - began,
                "vllm compile": self._llm.llm_engine.vllm_config.compilation_config.compilation_time,
                "base weights": time.perf_counter() - built,
            },
        )

    def _settings(self, spec: EngineSpec, folder: Path) -> dict[str, Any]:
        """Return the settings of vLLM that follow from a specification."""
        from landscape_ray.engine.vllm.text import text_settings  # noqa: PLC0415 - imports vLLM

        context = context_needed(self._encoder, spec.benchmarks)
        return {
            **common_settings(folder, dtype=spec.dtype, run=spec.run, context=context, has_base=True),
            "worker_extension_cls": "landscape_ray.engine.vllm.worker.PerturbationWorker",
            "max_logprobs": NUM_TOKENS,
            **text_settings(folder),
        }

    def _begin_placing(self, spec: EngineSpec, folder: Path) -> str:
        """Read the base weights, find out how points can be placed, and go to the origin."""
        endpoints = {delta: str(checkpoint_folder(delta.location, delta.revision)) for delta in spec.deltas}
        self._llm.collective_rpc("load_base_weights", args=(str(folder), spec.run.base_location, endpoints))
        self._placing = Placing(self._llm.collective_rpc)
        # Shows now, not at every point of the sweep, whether vLLM's loader takes every tensor of this model.
        self.place(ORIGIN)
        return self._placing.way

    def stay_with_reloading(self) -> None:
        """Place points by reloading from now on, though they could be written in place."""
        self._placing.stay_with_reloading()
        self.facts = replace(self.facts, way=self._placing.way)

    def admit(self, benchmarks: Sequence[Benchmark]) -> None:
        """Compare with the context that the engine was built with; see `Engine.admit`."""
        needed, room = context_needed(self._encoder, benchmarks), self._llm.llm_engine.model_config.max_model_len
        if needed > room:
            msg = f"The engine was built for sequences of {room} tokens, and these benchmarks need {needed}."
            raise ResourceError(msg)

    def place(self, perturbation: Perturbation) -> str:
        """Put perturbed weights into every worker; see `Engine.place`."""
        with self.stopwatch.phase("place"):
            digest = self._placing.place(perturbation)
        # No update of weights clears vLLM's prefix cache: blocks computed with the old weights would be served.
        with self.stopwatch.phase("reset"):
            is_reset = self._llm.reset_prefix_cache()
        if not is_reset:
            msg = "vLLM could not reset its prefix cache, because blocks are in use; outputs would mix two points."
            raise PlacementError(msg)
        self._points = [(self._new_salt(digest), {})]
        return digest

    def _new_salt(self, digest: str) -> str:
        """Return a salt with which cached blocks are shared within a point and a visit only.

        It guards against a reset that misses a block, and keeps points apart that share a batch.
        """
        return f"{digest}-{next(self._visits)}"

    def generate(self, benchmarks: Sequence[Benchmark]) -> list[tuple[Completion, ...]]:
        """Complete all prompts of all benchmarks in one batch; see `Engine.generate`."""
        (completions,) = self.generate_points(benchmarks)
        return completions

    def generate_points(self, benchmarks: Sequence[Benchmark]) -> list[list[tuple[Completion, ...]]]:
        """Complete all prompts of all benchmarks at all points in one batch; see `LineEngine.generate_points`."""
        with self.stopwatch.phase("prefill"):
            jobs = self._encoder.jobs(benchmarks)
        return self._encoder.completions(benchmarks, jobs, len(self._points), self._decode, self.stopwatch)

    def log_likelihoods(self, texts: Sequence[ScoredText]) -> list[LogLikelihood | None]:
        """Score texts with the weights in place; see `Engine.log_likelihoods`."""
        (found,) = self.log_likelihoods_points(texts)
        return found

    def log_likelihoods_points(self, texts: Sequence[ScoredText]) -> list[list[LogLikelihood | None]]:
        """Score texts of one token where their context ends, longer ones by reading them; see the protocol."""
        encoded = [self._encoder.encode_scored(text) for text in texts]
        jobs = [(point, ids, first) for point in range(len(self._points)) for ids, first in encoded]
        fitting = [i for i, (_, ids, _) in enumerate(jobs) if len(ids) < self._encoder.context_length]
        single = [i for i in fitting if len(jobs[i][1]) == jobs[i][2] + 1]
        longer = [i for i in fitting if len(jobs[i][1]) > jobs[i][2] + 1]
        found: list[LogLikelihood | None] = [None] * len(jobs)
        for i, score in zip(single, self._last_token_scores([jobs[i][:2] for i in single]), strict=True):
            found[i] = LogLikelihood(total=score, token_ids=jobs[i][1][-1:])
        for i, scores in zip(longer, self._token_scores([jobs[i][:2] for i in longer]), strict=True):
            _, ids, first = jobs[i]
            found[i] = LogLikelihood(total=math.fsum(scores[first:]), token_ids=ids[first:])
        return batched(found, len(texts)) if texts else [[] for _ in self._points]

    def first_tokens(self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None) -> list[FirstTokens | None]:
        """Have vLLM say how likely the tokens are; see `Engine.first_tokens`."""
        (found,) = self.first_tokens_points(benchmark, wanted)
        return found

    def first_tokens_points(
        self, benchmark: Benchmark, wanted: Sequence[Sequence[int]] | None
    ) -> list[list[FirstTokens | None]]:
        """Have vLLM say how likely the tokens are at all points; see `LineEngine.first_tokens_points`."""
        prompts = self._encoder.encode(benchmark)
        fitting = [i for i, ids in enumerate(prompts) if len(ids) < self._encoder.context_length]
        jobs = [(point, i) for point in range(len(self._points)) for i in fitting]
        likeliest = min(NUM_TOKENS, self._llm.llm_engine.model_config.get_vocab_size())
        asked = [{"logprobs": likeliest} if wanted is None else {"logprob_token_ids": list(wanted[i])} for _, i in jobs]
        outputs = self._run([(point, prompts[i]) for point, i in jobs], [{"max_tokens": 1} | each for each in asked])
        found: list[list[FirstTokens | None]] = [[None] * len(prompts) for _ in self._points]
        for (point, i), output in zip(jobs, outputs, strict=True):
            (entries,) = output.outputs[0].logprobs
            # Beside those asked for there is the token that vLLM took.
            ordered = sorted(entries, key=lambda token: (-entries[token].logprob, token))[:likeliest]
            token_ids = tuple(ordered if wanted is None else wanted[i])
            log_probabilities = tuple(entries[token].logprob for token in token_ids)
            found[point][i] = FirstTokens(token_ids=token_ids, log_probabilities=log_probabilities)
        return found

    def _last_token_scores(self, texts: Sequence[tuple[int, tuple[int, ...]]]) -> list[float]:
        """Return the log-probability of the last token of each text, at its point.

        Texts that differ in it alone, such as a question with each letter of its answers, are one request, and the
        prefix cache serves what questions share; requests that score all their tokens cannot use it.
        """
        by_context: defaultdict[tuple[int, tuple[int, ...]], list[int]] = defaultdict(list)
        for i, (point, ids) in enumerate(texts):
            by_context[point, ids[:-1]].append(i)
        groups = [(at, group) for at, alike in by_context.items() for group in batched(alike, MAX_GROUP)]
        tokens = [[texts[i][1][-1] for i in group] for _, group in groups]
        # Lists of one length: vLLM fills up shorter ones with token 0.
        width = max(map(len, tokens), default=0)
        wanted = [{"max_tokens": 1, "logprob_token_ids": some + some[-1:] * (width - len(some))} for some in tokens]
        scores = [0.0] * len(texts)
        for (_, group), output in zip(groups, self._run([at for at, _ in groups], wanted), strict=True):
            (entries,) = output.outputs[0].logprobs
            for i in group:
                scores[i] = entries[texts[i][1][-1]].logprob
        return scores

    def _token_scores(self, texts: Sequence[tuple[int, tuple[int, ...]]]) -> list[list[float]]:
        """Return the log-probability of each token of each text, at its point; of the first one, not predicted, 0."""
        outputs = self._run(texts, [{"max_tokens": 1, "prompt_logprobs": 0}] * len(texts))
        scores = []
        for (_, ids), output in zip(texts, outputs, strict=True):
            entries = output.prompt_logprobs or []
            if len(entries) != len(ids):
                msg = f"vLLM scored {len(entries)} tokens of a text of {len(ids)}; the point cannot be measured."
                raise GenerationError(msg)
            scores.append([0.0, *(e[token].logprob for token, e in zip(ids[1:], entries[1:], strict=True))])
        return scores

    def _decode(self, jobs: Sequence[Job]) -> list[Decoded]:
        """Generate up to where a job's own limits end it."""
        outputs = [
            output.outputs[0]
            for output in self._run([(job.point, job.prompt) for job in jobs], [_limits(job) for job in jobs])
        ]
        found = [(list(output.token_ids), isinstance(output.stop_reason, str)) for output in outputs]
        # vLLM cuts by the text that it makes token by token; verdicts are given on our own. Where it is not certain
        # that both say the same, however the text had gone on, there is nothing to save: it is completed whole.
        doubtful = [
            i
            for i, (tokens, is_cut) in enumerate(found)
            if is_cut and not self._encoder.settles(tokens, jobs[i].stop_strings, in_marks=jobs[i].in_marks)
        ]
        if doubtful:
            whole = self._decode([replace(jobs[i], stop_strings=()) for i in doubtful])
            for i, decoded in zip(doubtful, whole, strict=True):
                found[i] = decoded
        return found

    def _run(self, prompts: Sequence[tuple[int, Sequence[int]]], settings: Sequence[dict[str, Any]]) -> list[Any]:
        """Hand vLLM one batch of token ids, each at a point, each with settings of its own."""
        from vllm import SamplingParams  # noqa: PLC0415

        if not prompts:
            return []
        try:
            with self.stopwatch.phase("prefill"):
                self._llm.enqueue(
                    [{"prompt_token_ids": list(ids), "cache_salt": self._points[at][0]} for at, ids in prompts],
                    [
                        SamplingParams(**({"temperature": 0, "detokenize": False} | own | self._points[at][1]))
                        for (at, _), own in zip(prompts, settings, strict=True)
                    ],
                    use_tqdm=False,
                )
            outputs = self._until_answered()
        except (ValueError, RuntimeError) as error:
            self._abort_requests()
            msg = f"vLLM failed on a batch of {len(prompts)} prompts: {type(error).__name__}: {in_brief(error)}."
            raise GenerationError(msg) from error
        if [output.prompt_token_ids for output in outputs] != [list(ids) for _, ids in prompts]:
            msg = f"vLLM answered {len(outputs)} requests that are not the {len(prompts)} that were asked."
            raise GenerationError(msg)
        return outputs

    def _until_answered(self) -> list[Any]:
        """Run vLLM until all requests are answered, and return the answers in the order of the requests."""
        engine, outputs = self._llm.llm_engine, []
        requests = engine.output_processor.request_states
        num_reading = len(requests)
        while engine.has_unfinished_requests():
            began, num_before, num_reading_before = self.stopwatch.clock(), len(requests), num_reading
            outputs += [output for output in engine.step() if output.finished]
            num_reading = sum(request.is_prefilling for request in requests.values())
            # A prompt was read to its end in this step, or nothing was there to go on with.
            is_prefill = num_reading < num_reading_before or num_reading_before == num_before
            self.stopwatch.add("prefill" if is_prefill else "decode", self.stopwatch.clock() - began)
        return sorted(outputs, key=lambda output: int(output.request_id))

    def _abort_requests(self) -> None:
        """Drop what a failed batch left unanswered: vLLM would answer it within the next batch."""
        engine = self._llm.llm_engine
        with contextlib.suppress(Exception):  # then the next batch fails, too
            engine.abort_request(list(engine.output_processor.request_states), internal=True)

    def close(self) -> None:
        """Stop vLLM's workers and drop the model."""
        stop_vllm(self._llm)
        del self._llm


class LoadedVllm(VllmEngine):
    """vLLM with a checkpoint as vLLM itself loads it: what placed weights are measured by. It has no points."""

    def _begin_placing(self, spec: EngineSpec, folder: Path) -> str:  # noqa: ARG002
        self._points = [(self._new_salt("as loaded"), {})]
        return ""


def _limits(job: Job) -> dict[str, Any]:
    limits: dict[str, Any] = {"max_tokens": job.max_tokens, "stop_token_ids": list(job.stop_token_ids)}
    limits |= {"temperature": job.temperature, "seed": job.seed}
    if not job.stop_strings:
        return limits
    # Without the string in its output vLLM would cut the very tokens off that are to be looked at.
    text = {"detokenize": True, "skip_special_tokens": not job.in_marks, "include_stop_str_in_output": True}
    return limits | text | {"stop": list(job.stop_strings)}
