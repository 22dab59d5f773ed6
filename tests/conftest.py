"""Fixtures that several folders of tests share: landscapes, rows of the store, checkpoints."""

import atexit
import http.server
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pytest

from landscape_ray.analysis import Landscape, Outcome
from landscape_ray.config import AxisConfig, SweepConfig
from landscape_ray.evaluation import Benchmark, Prompt, Verdict
from landscape_ray.planning import Axis, Grid, PlannedPoint, SweepPlan

# Ray gives way to all others by default: its engines would stand still while other tests compute.
os.environ.setdefault("RAY_worker_niceness", "0")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Let workers, which have reported all by now, leave before Triton writes a page on what it has leaked."""
    if hasattr(config, "workerinput") and "triton" in sys.modules:
        atexit._run_exitfuncs()
        os._exit(0)


class LandscapeFromCounts(Protocol):
    """Make a landscape in which the first so many prompts of each point comply, the rest refuse."""

    def __call__(
        self,
        counts: Sequence[Any],
        *,
        num_prompts: int,
        origin: Sequence[Sequence[Outcome]] = (),
        axes: Sequence[tuple[float, float]] = (),
    ) -> Landscape:
        """`counts` is nested as (D, *G); a negative count is a point that was not measured.

        `axes` are the first and last coordinates; by default the step is 0.05 and the middle at 0.
        """
        ...


@pytest.fixture
def landscape_from_counts() -> LandscapeFromCounts:
    def build(
        counts: Sequence[Any],
        *,
        num_prompts: int,
        origin: Sequence[Sequence[Outcome]] = (),
        axes: Sequence[tuple[float, float]] = (),
    ) -> Landscape:
        successes = np.array(counts)
        outcomes = np.where(np.arange(num_prompts) < successes[..., None], Outcome.COMPLIED, Outcome.REFUSED)
        outcomes[successes < 0] = Outcome.UNMEASURED
        ends = axes or [((1 - num) / 40, (num - 1) / 40) for num in successes.shape[1:]]
        grid = Grid(
            axes=tuple(
                Axis.from_config(AxisConfig(start=start, stop=stop, num=num))
                for (start, stop), num in zip(ends, successes.shape[1:], strict=True)
            )
        )
        return Landscape(
            benchmark="advbench",
            grid=grid,
            prompt_ids=tuple(f"p{i}" for i in range(num_prompts)),
            outcomes=outcomes.astype(np.int8),
            origin_outcomes=np.array(origin, dtype=np.int8).reshape(len(origin), num_prompts),
        )

    return build


Columns = dict[str, npt.NDArray[Any]]


class RowsOf(Protocol):
    """Make the columns that the result store would read for a plan."""

    def __call__(
        self,
        points: Sequence[PlannedPoint],
        verdict: Callable[[PlannedPoint, int], Verdict],
        *,
        num_prompts: int,
        benchmark: str = "advbench",
    ) -> Columns:
        """One row per point and prompt, in this order; `verdict` gets the point and the prompt's index."""
        ...


@pytest.fixture(scope="session")
def rows_of() -> RowsOf:
    def build(
        points: Sequence[PlannedPoint],
        verdict: Callable[[PlannedPoint, int], Verdict],
        *,
        num_prompts: int,
        benchmark: str = "advbench",
    ) -> Columns:
        cells = [(point, index) for point in points for index in range(num_prompts)]
        alphas_betas = [(*point.coordinates, np.nan)[:2] for point, _ in cells]
        return {
            "benchmark": np.array([benchmark for _ in cells], dtype=object),
            "draw": np.array([np.nan if point.draw is None else point.draw for point, _ in cells]),
            "repeat": np.array([point.repeat for point, _ in cells], dtype=np.int64),
            "alpha": np.array([alpha for alpha, _ in alphas_betas], dtype=np.float64),
            "beta": np.array([beta for _, beta in alphas_betas], dtype=np.float64),
            "prompt_index": np.array([index for _, index in cells], dtype=np.int64),
            "prompt_id": np.array([f"p{index}" for _, index in cells], dtype=object),
            "verdict": np.array([verdict(point, index).value for point, index in cells], dtype=object),
        }

    return build


class PlanOf(Protocol):
    """Make a plan from the number of points of each axis."""

    def __call__(self, *nums: int, draws: int = 3, repeats: int = 2, limit: float = 0.5) -> SweepPlan:
        """Axes run over [-limit, limit]."""
        ...


@pytest.fixture(scope="session")
def plan_of() -> PlanOf:
    def build(*nums: int, draws: int = 3, repeats: int = 2, limit: float = 0.5) -> SweepPlan:
        config = SweepConfig.model_validate(
            {
                "model": {"id": "demo:aligned"},
                "landscape": {
                    "axes": [{"start": -limit, "stop": limit, "num": num} for num in nums],
                    "origin_repeats": repeats,
                },
                "directions": {"draws": draws},
                "benchmarks": [{"name": "advbench", "prompts": {"source": "demo"}}],
            }
        )
        return SweepPlan.from_config(config)

    return build


LETTERS = [chr(ord("!") + i) for i in range(90)]
SPECIAL = ["<s>", "</s>", "<unk>"]
CONTEXT = 448


def save_checkpoint(folder: Path, *, tied: bool) -> Path:
    """Write a random two-layer Llama; its weights are large, so that outputs differ between prompts and points.

    It has what trips engines up: fused projections, grouped heads, heads wider than the hidden size, a vocabulary that
    vLLM pads (its size is no multiple of 64), and sampling defaults that must not reach the measurement.
    """
    # Heavy, and not for tests that need no model.
    import torch  # noqa: PLC0415
    from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: PLC0415

    # For models this small, threads that wait for each other cost more than they compute.
    torch.set_num_threads(1)
    torch.manual_seed(0)
    vocabulary = {token: i for i, token in enumerate(SPECIAL + LETTERS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template="{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}[{{ m.content }}]"
        "{% else %}{{ m.content }}{% endif %}{% endfor %}:",
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=tied,
        initializer_range=0.25,
        bos_token_id=0,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.update(do_sample=True, temperature=0.7, repetition_penalty=1.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tied_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("tied"), tied=True)


@pytest.fixture(scope="session")
def untied_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("untied"), tied=False)


@pytest.fixture(scope="session")
def make_random_model(tmp_path_factory: pytest.TempPathFactory, untied_checkpoint: Path) -> Callable[[Any], Path]:
    """Make a random model from a configuration of transformers, with the tokenizer of the other checkpoints."""
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    def make(config: Any) -> Path:
        folder = tmp_path_factory.mktemp(config.model_type)
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():  # no bias is 0, and no norm 1, as they are in new models
                parameter.add_(torch.randn_like(parameter) * 0.1)
        model.save_pretrained(folder)
        for file in (*untied_checkpoint.glob("token*"), untied_checkpoint / "chat_template.jinja"):
            shutil.copy(file, folder)
        return folder

    return make


class MakeSibling(Protocol):
    """Make a further checkpoint of the same architecture, tokenizer included."""

    def __call__(self, of: Path, *, seed: int, share: float = 0.2, dtype: str | None = None) -> Path:
        """Every tensor is moved by a share of its norm; stored in `dtype`, or as it was."""
        ...


@pytest.fixture(scope="session")
def make_sibling(tmp_path_factory: pytest.TempPathFactory) -> MakeSibling:
    import torch  # noqa: PLC0415
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    def make(of: Path, *, seed: int, share: float = 0.2, dtype: str | None = None) -> Path:
        folder = tmp_path_factory.mktemp(f"sibling-{seed}") / "checkpoint"
        shutil.copytree(of, folder)
        generator = torch.Generator().manual_seed(seed)
        moved = {}
        for name, tensor in load_file(of / "model.safetensors").items():
            noise = torch.randn(tensor.shape, generator=generator)
            weights = tensor.float() + noise * (share * tensor.float().norm() / noise.norm())
            moved[name] = weights.to(tensor.dtype if dtype is None else getattr(torch, dtype))
        save_file(moved, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


class MakeAdapter(Protocol):
    """Make a random LoRA adapter of a checkpoint, and the checkpoint that PEFT merges it into."""

    def __call__(self, of: Path, *, whole_embeddings: bool = False, **settings: Any) -> tuple[Path, Path]:
        """Settings are those of `peft.LoraConfig`; return the folders of the adapter and of the merged checkpoint."""
        ...


@pytest.fixture(scope="session")
def make_adapter(tmp_path_factory: pytest.TempPathFactory) -> MakeAdapter:
    import torch  # noqa: PLC0415
    from peft import LoraConfig, PeftModel, get_peft_model  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415
    from transformers import AutoModelForCausalLM  # noqa: PLC0415

    def make(of: Path, *, whole_embeddings: bool = False, **settings: Any) -> tuple[Path, Path]:
        folder = tmp_path_factory.mktemp("adapted")
        shutil.copytree(of, folder / "merged")  # the tokenizer; the weights are replaced
        stored = next(iter(load_file(of / "model.safetensors").values())).dtype
        model = AutoModelForCausalLM.from_pretrained(of, dtype=stored)
        plain: dict[str, Any] = {"r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "v_proj", "down_proj"]}
        adapted: Any = get_peft_model(model, LoraConfig(**(plain | settings), task_type="CAUSAL_LM"))
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
        adapted.save_pretrained(folder / "adapter", save_embedding_layers=whole_embeddings)
        again = AutoModelForCausalLM.from_pretrained(of, dtype=stored)
        loaded: Any = PeftModel.from_pretrained(again, folder / "adapter")
        loaded.merge_and_unload().save_pretrained(folder / "merged")
        return folder / "adapter", folder / "merged"

    return make


@pytest.fixture(scope="session")
def make_benchmark() -> Any:
    """Make a benchmark of 24 prompts of different lengths."""

    def make(
        name: str = "letters", *, shift: int = 0, num: int = 24, max_new_tokens: int = 24, **settings: Any
    ) -> Benchmark:
        texts = ["".join(LETTERS[(7 * i + 3 * j + shift) % 90] for j in range(3 + i % 9)) for i in range(num)]
        return Benchmark(
            name=name,
            prompts=tuple(Prompt(id=str(i), text=text) for i, text in enumerate(texts)),
            system_prompt=settings.get("system_prompt"),
            chat_template=settings.get("chat_template"),
            max_new_tokens=max_new_tokens,
            metric="asr",
            judge="keyword",
            early_verdict=settings.get("early_verdict", False),
        )

    return make


@dataclass(slots=True)
class FakeEndpoint:
    """An OpenAI-compatible chat endpoint in this process: it answers as told, and remembers what it was asked."""

    base_url: str
    """Where it listens."""
    reply: Callable[[str], tuple[int, bytes]]
    """From the last message of a request to a status and a body; may be changed at any time."""
    asked: list[dict[str, Any]]
    """The requests, in the order they came in."""
    headers: list[dict[str, str]]
    """Their headers, with names in lower case."""


def chat_reply(answer: str | None) -> tuple[int, bytes]:
    """Return what an endpoint answers with."""
    message = {"role": "assistant", "content": answer}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    reply = {"id": "0", "object": "chat.completion", "created": 0, "model": "fake-1", "choices": [choice]}
    return 200, json.dumps(reply).encode()


@pytest.fixture
def says() -> Callable[[str | None], tuple[int, bytes]]:
    """Make the reply of an endpoint from its answer."""
    return chat_reply


@pytest.fixture
def endpoint() -> Iterator[FakeEndpoint]:
    """Serve an endpoint whose judge always says yes, until the test tells it otherwise."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.asked.append(request)
            fake.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, body = fake.reply(request["messages"][-1]["content"])
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients that hang up are what some tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    fake = FakeEndpoint(
        base_url=f"http://127.0.0.1:{server.server_port}/v1",
        reply=lambda _: chat_reply("yes"),
        asked=[],
        headers=[],
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


THINKER_TOKENS = (
    *("<pad>", "<s>", "</s>", "<user>", "<model>", "<think>", "</think>", "ask", "bake", "steal", "ponder"),
    *("I", "cannot", "see", "Sorry", "no", "Sure", "thing"),
)
THINKER_TEMPLATE = (
    "<s> {% for m in messages %}<{{ 'model' if m.role == 'assistant' else 'user' }}> {{ m.content }} "
    "{% if m.role == 'assistant' %}</s> {% endif %}{% endfor %}{% if add_generation_prompt %}<model> "
    "{% if not enable_thinking | default(true) %}<think> </think> {% endif %}{% endif %}"
)


@pytest.fixture(scope="session")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model that thinks before it answers, token by token as it says in a table.

    It thinks `I cannot see`, whatever it is asked. Then it answers `Sorry no` if it was asked to steal, and else `Sure
    thing`, whether or not it thought. Asked to ponder, it never stops to see.

    One attention layer without queries and keys passes on the mean of all tokens so far, one number for each, and the
    head adds up what the last token and these say: 100 for what always follows it. After `</think>` it is 1 for `Sure`
    against 50 times the share of `steal`, after `see` 10 for `</think>` against 500 times the share of `ponder`: more,
    in texts of up to 49 tokens, and in texts of 6 tokens or more less than what decides elsewhere.
    """
    import torch  # noqa: PLC0415
    from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: PLC0415
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast  # noqa: PLC0415

    ids = {token: i for i, token in enumerate(THINKER_TOKENS)}
    folder = tmp_path_factory.mktemp("thinker")
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=THINKER_TEMPLATE
    )
    wrapped.add_special_tokens({"additional_special_tokens": ["<user>", "<model>"]})
    wrapped.save_pretrained(folder)
    half = 32
    config = LlamaConfig(
        vocab_size=half,
        hidden_size=2 * half,
        intermediate_size=half,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=half,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        rms_norm_eps=1e-12,
        pad_token_id=ids["<pad>"],
        bos_token_id=ids["<s>"],
        eos_token_id=ids["</s>"],
    )
    model: Any = LlamaForCausalLM(config)
    layer = model.model.layers[0]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "norm" in name else 0.0)
        model.model.embed_tokens.weight[:, :half] = torch.eye(half)
        layer.self_attn.v_proj.weight[:half, :half] = torch.eye(half) / 8  # the norm before it multiplies by 8
        layer.self_attn.o_proj.weight[half:, :half] = torch.eye(half)
        follows = {"<model>": "<think>", "<think>": "I", "I": "cannot", "cannot": "see", "Sorry": "no", "Sure": "thing"}
        choices = {"</think>", "see"}
        ends = {token: "</s>" for token in ids if token not in choices}
        for token, following in (ends | follows).items():
            model.lm_head.weight[ids[following], ids[token]] = 100.0
        head = model.lm_head.weight
        head[ids["Sure"], ids["</think>"]], head[ids["Sorry"], half + ids["steal"]] = 1.0, 50.0
        head[ids["</think>"], ids["see"]], head[ids["see"], half + ids["ponder"]] = 10.0, 500.0
        head[ids["see"], ids["</think>"]] = -1000.0
    model.save_pretrained(folder)
    return folder
