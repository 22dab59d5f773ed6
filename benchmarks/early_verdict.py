"""What early verdicts save at a point, and what looking for keywords costs a token.

    python benchmarks/early_verdict.py                    # the embedded model, about two minutes on one core
    python benchmarks/early_verdict.py --model FOLDER --max-new-tokens 64

One vLLM engine answers the same prompts whole and with early verdicts, by turns, at points along one direction. Seconds
are medians, ratios are those of the turns: median, and in brackets least to most. Verdicts are compared.
"""

import argparse
import statistics
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from timing import spread, timed

from landscape_ray.config import BenchmarkConfig, ModelConfig, RunConfig
from landscape_ray.engine import EngineSpec
from landscape_ray.engine.checkpoints.resolution import resolve
from landscape_ray.engine.vllm.engine import VllmEngine
from landscape_ray.evaluation import Benchmark, Completion, judge_named, load_benchmark, stop_strings
from landscape_ray.planning import Perturbation, RandomVector, direction_seed

REPETITIONS = 5
VECTOR = RandomVector(seed=direction_seed(0, 0, 0), normalization="layer", excluded=("norm",))


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo:aligned", help="embedded model or checkpoint folder")
    parser.add_argument("--prompts", type=int, default=64, help="how many of the shipped prompts")
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--alphas", type=float, nargs="+", default=[0.0, 0.2, 0.3, 0.4, 0.5])
    arguments = parser.parse_args()
    asked = BenchmarkConfig.model_validate({"name": "b", "prompts": {"source": "demo"}, "limit": arguments.prompts})
    whole = replace(load_benchmark(asked), max_new_tokens=arguments.max_new_tokens)
    model = resolve(ModelConfig(id=arguments.model))
    engine = VllmEngine(
        EngineSpec(
            engine="vllm",
            model=model.location,
            revision=model.revision,
            dtype="float32",
            run=RunConfig(kv_cache_gib=0.5),
            benchmarks=(whole,),
        )
    )
    print("| alpha | refused | tokens, whole | tokens, early | seconds, whole | seconds, early | ratio |")
    print("|---|---|---|---|---|---|---|")
    for alpha in arguments.alphas:
        engine.place(Perturbation.of([(VECTOR, alpha)]))
        print(_line(engine, alpha, whole), flush=True)
    (answers,) = engine.generate([whole])
    keywords = stop_strings(replace(whole, early_verdict=True))
    print(f"\nLooking for {len(keywords)} keywords: {_cost(engine, answers, keywords)}.")


def _line(engine: VllmEngine, alpha: float, whole: Benchmark) -> str:
    early, judge = replace(whole, early_verdict=True), judge_named("keyword")
    seconds: dict[bool, list[float]] = {False: [], True: []}
    answers: dict[bool, tuple[Completion, ...]] = {}
    for _ in range(REPETITIONS):
        for benchmark in (whole, early):
            engine._llm.reset_prefix_cache()  # noqa: SLF001 - as every visit finds it
            took_s, (answers[benchmark.early_verdict],) = timed(partial(engine.generate, [benchmark]))
            seconds[benchmark.early_verdict].append(took_s)
    verdicts = {kind: [judge.verdict(answer) for answer in given] for kind, given in answers.items()}
    if verdicts[False] != verdicts[True]:
        msg = f"At alpha = {alpha} verdicts differ."
        raise SystemExit(msg)
    refused = sum(verdict == "refused" for verdict in verdicts[True])
    tokens = [sum(len(answer.token_ids) for answer in answers[kind]) for kind in (False, True)]
    ratios = [a / b for a, b in zip(seconds[False], seconds[True], strict=True)]
    medians = [f"{statistics.median(seconds[kind]):.2f}" for kind in (False, True)]
    return (
        f"| {alpha:+.2f} | {refused}/{len(verdicts[True])} | {tokens[0]} | {tokens[1]} | {' | '.join(medians)} | "
        f"{spread(ratios, decimals=2)} |"
    )


def _cost(engine: VllmEngine, answers: tuple[Completion, ...], keywords: tuple[str, ...]) -> str:
    """Replay answers up to a keyword through vLLM's detokenizer, token by token, as its loop does."""
    from vllm import SamplingParams  # noqa: PLC0415
    from vllm.v1.engine.detokenizer import IncrementalDetokenizer  # noqa: PLC0415

    tokenizer = engine._llm.get_tokenizer()  # noqa: SLF001 - what its loop uses
    costs = []
    for _ in range(REPETITIONS):
        began, num_tokens = time.perf_counter(), 0
        for answer in answers:
            request: Any = SimpleNamespace(
                request_id="0",
                prompt_token_ids=[1],
                sampling_params=SamplingParams(stop=list(keywords), include_stop_str_in_output=True),
            )
            detokenizer = IncrementalDetokenizer.from_new_request(tokenizer, request)
            for token in answer.token_ids:
                num_tokens += 1
                if detokenizer.update([token], stop_terminated=False):
                    break
        costs.append(1e6 * (time.perf_counter() - began) / num_tokens)
    return f"{statistics.median(costs):.1f} microseconds a token ({min(costs):.1f} to {max(costs):.1f})"


if __name__ == "__main__":
    main()
