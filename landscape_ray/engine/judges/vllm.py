"""A judge model in vLLM, in this process."""

from collections.abc import Sequence
from typing import Any

from landscape_ray.engine.checkpoints.resolution import ResolvedModel, checkpoint_folder
from landscape_ray.engine.judges.encoding import JudgeEncoder
from landscape_ray.engine.vllm.library import import_vllm
from landscape_ray.engine.vllm.settings import common_settings
from landscape_ray.engine.vllm.start import start_vllm, stop_vllm
from landscape_ray.errors import GenerationError, in_brief
from landscape_ray.evaluation import Verdict
from landscape_ray.evaluation.guards import FORMATS
from landscape_ray.evaluation.judge_config import ModelJudgeConfig, reader_of
from landscape_ray.evaluation.judging import Exchange, Judgment, Receive

__all__ = ["VllmJudge"]

OWN_MAX_NEW_TOKENS = 16
MAX_CONTEXT = 16_384
"""Judges with longer contexts are held to this: cache for one full context must fit beside the model."""

UNASKED = Judgment(verdict=Verdict.UNSCORED, answer=None)


class VllmJudge:
    """vLLM behind the `ExchangeJudge` protocol; answers are decoded greedily."""

    def __init__(self, config: ModelJudgeConfig, model: ResolvedModel) -> None:
        """Start vLLM; takes tens of seconds.

        Raises:
            ResourceError: vLLM found no room for the model, or has no kernels for `run.strict` here.
            TransientError: Another process holds the memory.
            GenerationError: vLLM did not start, and does not say whether it ever will.
            CheckpointError: The checkpoint cannot be read.
        """
        vllm = import_vllm(config.run)
        folder, run = checkpoint_folder(model.location, model.revision), config.run
        form = FORMATS.get(config.format)
        self._max_new_tokens = config.max_new_tokens or (form.max_new_tokens if form else OWN_MAX_NEW_TOKENS)
        self._encoder = JudgeEncoder(folder, config)
        self._context = min(self._encoder.context_length, MAX_CONTEXT)
        self._read = reader_of(config)
        self._batch_size = run.max_num_seqs
        self._sampling = vllm.SamplingParams(
            temperature=0,
            max_tokens=self._max_new_tokens,
            stop_token_ids=list(self._encoder.stop_token_ids),
            detokenize=False,
        )
        settings = common_settings(folder, dtype=config.dtype, run=run, context=self._context)
        self._llm = start_vllm(settings, f"the judge {folder}")
        self.judged_with = f"vllm {vllm.__version__}"

    def judge(self, exchanges: Sequence[Exchange], receive: Receive) -> None:
        """Judge as many exchanges at a time as vLLM takes; one that the judge's context cannot hold is unscored."""
        for first in range(0, len(exchanges), self._batch_size):
            for place, judgment in enumerate(self._judgments(exchanges[first : first + self._batch_size]), first):
                receive(place, judgment)

    def _judgments(self, exchanges: Sequence[Exchange]) -> list[Judgment]:
        prompts = [self._encoder.encode_exchange(exchange) for exchange in exchanges]
        fits = [prompt is not None and len(prompt) + self._max_new_tokens <= self._context for prompt in prompts]
        asked = [{"prompt_token_ids": prompt} for prompt, fit in zip(prompts, fits, strict=True) if fit]
        try:
            outputs = iter(self._llm.generate(asked, self._sampling, use_tqdm=False) if asked else ())
        except (ValueError, RuntimeError) as error:
            msg = f"vLLM failed while judging {len(asked)} completions: {type(error).__name__}: {in_brief(error)}."
            raise GenerationError(msg) from error
        return [self._judgment(next(outputs)) if fit else UNASKED for fit in fits]

    def _judgment(self, output: Any) -> Judgment:
        answer = self._encoder.answer(output.outputs[0].token_ids)
        return Judgment(verdict=self._read(answer), answer=answer)

    def close(self) -> None:
        """Stop vLLM's workers and drop the model."""
        stop_vllm(self._llm)
        del self._llm
