"""A model that cannot be measured is refused by `plan` and by `run`: code 2, one paragraph, before an engine starts."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

import landscape_ray

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
