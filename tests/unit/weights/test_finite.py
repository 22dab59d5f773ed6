from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from landscape_ray.errors import CheckpointError
from landscape_ray.weights import BaseWeights, check_finite

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float8_e5m2])
@pytest.mark.parametrize(
    ("values", "num_bad"), [([1.0, NAN], 1), ([INF], 1), ([-INF, 0.0], 1), ([NAN, INF, -INF, NAN, 2.0], 4)]
)
def test_a_tensor_with_what_is_no_number_is_named_and_counted(
    dtype: torch.dtype, values: list[float], num_bad: int
) -> None:
    tensor = torch.tensor(values).to(dtype)
    with pytest.raises(CheckpointError, match=rf"tensor up of here holds {num_bad} values .*, of {len(values)}:"):
        check_finite("up", tensor, "here")


@pytest.mark.parametrize("values", [[], [0.0], [-1.0, 2.0], [3.4e38, -3.4e38]])
def test_numbers_pass_however_large(values: list[float]) -> None:
    check_finite("up", torch.tensor(values), "here")


def test_a_base_is_read_with_the_check(tmp_path: Path) -> None:
    save_file({"a": torch.ones(3), "b": torch.tensor([1.0, NAN])}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=f"The tensor b of {tmp_path} holds 1 values"):
        BaseWeights.load(tmp_path, device=torch.device("cpu"), location="device", tied_head=False)
