"""A model that cannot be measured is refused by `plan` and by `run`: code 2, one paragraph, before an engine starts."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

import landscape_ray
from landscape_ray.config import ModelConfig
from landscape_ray.engine.checkpoints.resolution import resolve
from landscape_ray.engine.preflight import READING_S, check_numbers
from landscape_ray.errors import CheckpointError

MAIN_AND_MODULES = """
import json, sys
from landscape_ray.cli import main
for config in sys.argv[1:]:
    for command in (["plan", config], ["run", config, "--out", config + ".out"]):
        try:
            main(command)
        except SystemExit as end:
            heavy = {"torch", "transformers", "vllm"} & sys.modules.keys()
            print(json.dumps([end.code, sorted(heavy)]))
"""
CLI: TypeAlias = Callable[[str], Any]
Write: TypeAlias = Callable[..., Path]


@pytest.fixture
def model(untied_checkpoint: Path, tmp_path: Path) -> Path:
    """A model that could be measured, to be spoiled."""
    return shutil.copytree(untied_checkpoint, tmp_path / "model")


@pytest.fixture
def sweep(model: Path, tmp_path: Path) -> Write:
    """Write the configuration of a sweep with one benchmark."""

    def write(benchmark: Mapping[str, Any] | None = None, **changes: Any) -> Path:
        one = {"name": "letters", "prompts": {"source": "demo"}, "limit": 2} | dict(benchmark or {})
        config = {"model": {"id": str(model)}, "dtype": "float32", "benchmarks": [one]} | changes
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(config))
        return tmp_path / "sweep.yaml"

    return write


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def refusals(cli: CLI, config: Path) -> str:
    """Return what `run` and `plan` say to a configuration that both refuse."""
    run, plan = cli(f"run {config} --out out"), cli(f"plan {config}")
    assert (run.code, plan.code) == (2, 2), (run.err, plan.err)
    assert run.err == plan.err
    assert run.err.count("\n") == 1
    assert run.err.startswith("Error: ")
    assert not Path("out", "manifest.json").exists()
    return str(run.err)


def test_a_model_that_is_in_order_plans(cli: CLI, sweep: Write) -> None:
    planned = cli(f"plan {sweep()} --json")
    assert planned.code == 0
    assert json.loads(planned.out)["not_checked"] is None


def test_quantised(cli: CLI, sweep: Write, model: Path) -> None:
    edit(model / "config.json", quantization_config={"quant_method": "mxfp4"})
    assert f"{model} is quantised (mxfp4)" in refusals(cli, sweep())


def test_gguf_files(cli: CLI, sweep: Write, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "model-Q4_K_M.gguf"
    file.write_bytes(b"GGUF")
    said = refusals(cli, sweep(model={"id": str(file)}))
    assert f"The id '{file}' is of a GGUF file." in said
    assert "Give the checkpoint in safetensors that it was made from" in said
    (model / "model.safetensors").rename(model / "model.gguf")
    assert f"{model} holds GGUF files and no safetensors" in refusals(cli, sweep())


def test_a_quantised_checkpoint_that_an_axis_leads_to(cli: CLI, sweep: Write, model: Path, tmp_path: Path) -> None:
    other = shutil.copytree(model, tmp_path / "other")
    edit(other / "config.json", quantization_config={"quant_method": "gptq"})
    landscape = {"kind": "interpolation", "to": {"id": str(other)}}
    assert f"{other} is quantised (gptq)" in refusals(cli, sweep(landscape=landscape))


def test_no_chat_template(cli: CLI, sweep: Write, model: Path) -> None:
    (model / "chat_template.jinja").unlink()
    assert "'letters': the model's tokenizer has no chat template" in refusals(cli, sweep())
    assert cli(f"plan {sweep({'chat_template': '{{ messages[0].content }}'})}").code == 0


def test_a_template_that_drops_a_message(cli: CLI, sweep: Write) -> None:
    benchmark = {"system_prompt": "Be kind.", "chat_template": "{{ messages[1].content }}"}
    assert "'letters': the chat template leaves out the system message" in refusals(cli, sweep(benchmark))


def test_an_architecture_that_nothing_here_knows(cli: CLI, sweep: Write, model: Path) -> None:
    edit(model / "config.json", model_type="hyperllama", architectures=["HyperLlamaForCausalLM"])
    assert "model_type 'hyperllama'" in refusals(cli, sweep())


@pytest.mark.parametrize("engine", ["vllm", "transformers"])
def test_an_architecture_that_generates_no_text(cli: CLI, sweep: Write, model: Path, engine: str) -> None:
    edit(model / "config.json", model_type="vit", architectures=["ViTForImageClassification"])
    said = refusals(cli, sweep(engine=engine))
    assert f"The {engine} engine has no way to generate text" in said
    assert "architectures ViTForImageClassification and model_type 'vit'" in said


def test_a_context_shorter_than_every_prompt(cli: CLI, sweep: Write, model: Path) -> None:
    edit(model / "config.json", max_position_embeddings=8)
    said = refusals(cli, sweep())
    assert "'letters': no prompt fits the model's context of 8 tokens; the shortest takes" in said
    scored = {"metric": "perplexity", "prompts": {"source": "demo", "name": "answers"}}
    assert "no prompt fits the model's context of 8 tokens" in refusals(cli, sweep(scored))


def test_a_model_that_lies_elsewhere_is_not_checked_and_plan_says_so(cli: CLI, sweep: Write, model: Path) -> None:
    config = sweep()
    shutil.rmtree(model)
    planned = cli(f"plan {config} --json")
    assert planned.code == 0
    assert json.loads(planned.out)["not_checked"] == f"{model} is no folder here"
    assert f"not checked  {model} is no folder here" in cli(f"plan {config}").out


@pytest.mark.slow
def test_what_files_tell_is_told_before_anything_heavy_is_loaded(sweep: Write, model: Path, tmp_path: Path) -> None:
    def spoiled(name: str, **changes: Any) -> Path:
        edit(shutil.copytree(model, tmp_path / name) / "config.json", **changes)
        return sweep(model={"id": str(tmp_path / name)}).rename(tmp_path / f"{name}.yaml")

    configs = {
        "is quantised (mxfp4)": spoiled("quantised", quantization_config={"quant_method": "mxfp4"}),
        "has no way to generate text": spoiled("unknown", model_type="hyper", architectures=["HyperForCausalLM"]),
        "has no chat template": spoiled("silent"),
        "is of a GGUF file": sweep(model={"id": "./model.gguf"}),
    }
    (tmp_path / "silent" / "chat_template.jinja").unlink()
    ended = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", MAIN_AND_MODULES, *map(str, configs.values())],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [json.loads(line) for line in ended.stdout.splitlines()] == [[2, []]] * 2 * len(configs)
    for number, said in enumerate(ended.stderr.splitlines()):
        assert list(configs)[number // 2] in said


def spoil(folder: Path, name: str, *values: float) -> None:
    """Write values into the beginning of a tensor."""
    tensors = load_file(folder / "model.safetensors")
    tensors[name].flat[: len(values)] = values
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("spoiled", ["model", "other"])
def test_weights_that_are_no_numbers_where_the_driver_reads_them(
    cli: CLI, sweep: Write, model: Path, tmp_path: Path, spoiled: str
) -> None:
    shutil.copytree(model, tmp_path / "other")
    name = "model.layers.1.mlp.up_proj.weight"
    spoil(tmp_path / spoiled, name, np.nan, 1.0, np.inf)
    run = cli(f"run {sweep(landscape={'kind': 'interpolation', 'to': {'id': str(tmp_path / 'other')}})}")
    assert run.code == 2
    assert f"The tensor {name} of {tmp_path / spoiled} holds 2 values that are no finite numbers, of 6,144" in run.err
    assert not Path("results", "sweep", "manifest.json").exists()


def test_weights_that_are_no_numbers_are_told_of_random_directions_too(cli: CLI, sweep: Write, model: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"
    spoil(model, name, -np.inf)
    run = cli(f"run {sweep()}")
    assert run.code == 2
    assert f"The tensor {name} of {model} holds 1 values that are no finite numbers, of 6,144" in run.err
    assert not Path("results", "sweep", "manifest.json").exists()


def test_looking_for_such_weights_ends_in_time(model: Path) -> None:
    def passing(seconds: float) -> Callable[[], float]:
        return itertools.count(0, seconds).__next__

    spoil(model, "model.norm.weight", np.nan)  # the last one
    resolved = resolve(ModelConfig(id=str(model)))
    check_numbers(resolved, passing(READING_S))
    with pytest.raises(CheckpointError, match=r"The tensor model\.norm\.weight"):
        check_numbers(resolved, passing(READING_S / 1000))


def test_a_folder_that_is_a_model_and_an_adapter(cli: CLI, sweep: Write, model: Path, tmp_path: Path) -> None:
    both = shutil.copytree(model, tmp_path / "both")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (both / name).write_bytes((Path(landscape_ray.__file__).parent / "demo" / "adapter" / name).read_bytes())
    landscape = {"kind": "interpolation", "to": {"id": str(both)}}
    for config in (sweep(landscape=landscape), sweep(model={"id": str(both)})):
        said = refusals(cli, config)
        assert f"{both} is two things: a model (model.safetensors) and an adapter (adapter_config.json)" in said
        assert "If the adapter is meant, give a folder that holds its adapter_config.json and adapter_model" in said
        assert "if the model is meant, one without these two" in said


def test_a_prompt_with_an_image_in_it(cli: CLI, sweep: Write, model: Path) -> None:
    edit(model / "config.json", image_token_id=ord("e") - ord("!") + 3)  # in the vocabulary of letters
    said = refusals(cli, sweep())
    assert "'letters': prompt 1 holds token 71, which stands for what is no text (image_token_id in" in said
