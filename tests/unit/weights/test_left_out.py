"""What a base holds of a checkpoint, and which other checkpoints can be compared with it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from landscape_ray.config import ModelConfig
from landscape_ray.engine.checkpoints.resolution import resolve
from landscape_ray.engine.checkpoints.tensor_listing import list_tensors
from landscape_ray.errors import CheckpointError
from landscape_ray.weights import CheckpointFiles, open_endpoint

Tensors = dict[str, torch.Tensor]
PLAIN = ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.norm.weight", "lm_head.weight")


def tensors(*names: str, seed: int = 0) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(4, 3, generator=generator) for name in names}


def save(folder: Path, weights: Tensors, **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "num_hidden_layers": 1} | config))
    save_file(weights, folder / "model.safetensors")
    return folder


def open_files(folder: Path) -> CheckpointFiles:
    return CheckpointFiles.open(folder, tied_head=False)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32, torch.int64, torch.float8_e4m3fn])
def test_what_is_no_plain_weight_is_not_left_out_without_a_word(dtype: torch.dtype, tmp_path: Path) -> None:
    weights = tensors(*PLAIN) | {"model.layers.0.mlp.down_proj.weight": torch.ones(3, 4).to(dtype)}
    with pytest.raises(CheckpointError, match=r"no plain weights: model\.layers\.0\.mlp\.down_proj\.weight \("):
        open_files(save(tmp_path / "model", weights))


def test_scales_are_no_weights(tmp_path: Path) -> None:
    weights = tensors(*PLAIN) | {"model.layers.0.mlp.up_proj.weight_scale": torch.ones(())}
    with pytest.raises(
        CheckpointError, match=r"no plain weights: model\.layers\.0\.mlp\.up_proj\.weight_scale \(F32\)"
    ):
        open_files(save(tmp_path / "model", weights))


def test_what_no_answer_is_computed_with_is_left_out_and_counted(tmp_path: Path) -> None:
    buffers = {"model.layers.0.attention.bias": torch.ones(2, dtype=torch.uint8)}
    extra = tensors("mtp.fc.weight", "mtp.norm.weight", "model.layers.1.eh_proj.weight")
    folder = save(tmp_path / "model", tensors(*PLAIN) | extra | buffers, num_nextn_predict_layers=1)
    listing = list_tensors(resolve(ModelConfig(id=str(folder))))
    assert set(open_files(folder).names) == set(listing.names) == set(PLAIN)
    assert listing.left_out == {"buffers": 1, "heads that predict further tokens": 3}


def test_a_finetune_that_lacks_what_is_left_out_is_comparable(tmp_path: Path) -> None:
    base = open_files(save(tmp_path / "model", tensors(*PLAIN, "mtp.fc.weight")))
    endpoint = open_endpoint(save(tmp_path / "finetune", tensors(*PLAIN, seed=1)), base)
    assert set(endpoint.names) == set(PLAIN)
    with pytest.raises(CheckpointError, match=r"it lacks model\.norm\.weight"):
        open_endpoint(save(tmp_path / "short", tensors(*PLAIN[:2], PLAIN[3])), base)


WRAPPED = {
    "text_config": {"num_hidden_layers": 1},
    "vision_config": {},
}


@pytest.mark.parametrize("form", ["model.language_model.", "language_model.model."])
def test_a_language_model_by_itself_is_comparable_with_the_same_in_a_wrapper(form: str, tmp_path: Path) -> None:
    own = {name: name.replace("model.", form, 1) for name in PLAIN}
    tower = tensors("vision_tower.layers.0.weight")
    weights = {own[name]: tensor for name, tensor in tensors(*PLAIN).items()}
    base = open_files(save(tmp_path / "model", weights | tower, **WRAPPED))
    assert set(base.names) == set(weights)
    finetune = tensors(*PLAIN, seed=1)
    endpoint = open_endpoint(save(tmp_path / "finetune", finetune), base)
    assert set(endpoint.names) == set(base.names)
    assert all(torch.equal(endpoint.tensor(own[name]), finetune[name]) for name in PLAIN)


def adapter(folder: Path, module: str) -> tuple[Path, torch.Tensor]:
    """Write an adapter of rank 2 with scaling 1.5, and return what it adds."""
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 3}))
    a, b = torch.randn(2, 3), torch.randn(4, 2)
    prefix = f"base_model.model.{module}"
    save_file({f"{prefix}.lora_A.weight": a, f"{prefix}.lora_B.weight": b}, folder / "adapter_model.safetensors")
    return folder, (b @ a) * 1.5


@pytest.mark.parametrize(
    ("form", "module"),
    [
        ("model.language_model.", "model.layers.0.mlp.up_proj"),
        ("language_model.model.", "model.layers.0.mlp.up_proj"),
        ("language_model.model.", "model.language_model.layers.0.mlp.up_proj"),
        ("model.", "model.language_model.layers.0.mlp.up_proj"),
        ("model.", "model.layers.0.mlp.up_proj"),
    ],
)
def test_adapters_of_a_language_model_fit_it_in_any_wrapper(form: str, module: str, tmp_path: Path) -> None:
    weights = {name.replace("model.", form, 1): tensor for name, tensor in tensors(*PLAIN).items()}
    base = open_files(save(tmp_path / "model", weights, **({} if form == "model." else WRAPPED)))
    folder, difference = adapter(tmp_path / "adapter", module)
    merged = open_endpoint(folder, base)
    moved = f"{form}layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(merged.tensor(moved), weights[moved] + difference)
    assert all(torch.equal(merged.tensor(name), weights[name]) for name in weights if name != moved)


def test_an_adapter_that_fits_two_modules_is_refused(tmp_path: Path) -> None:
    twice = tensors("model.language_model.layers.0.w.weight", "language_model.model.layers.0.w.weight")
    base = open_files(save(tmp_path / "model", twice, **WRAPPED))
    folder, _ = adapter(tmp_path / "adapter", "model.layers.0.w")
    with pytest.raises(CheckpointError, match=r"model\.layers\.0\.w \(of which the model has no weight\)"):
        open_endpoint(folder, base)
