"""`landscape-ray dequantize`: plain weights of a quantised checkpoint, in a folder of its own."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from landscape_ray.cli.app import app
from landscape_ray.cli.text import print_facts
from landscape_ray.config import ModelConfig
from landscape_ray.errors import ResourceError, in_brief

__all__ = ["dequantize"]


@app.command()
def dequantize(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A Hub id, or a folder.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write it; must not exist.")],
    revision: Annotated[str | None, typer.Option(metavar="REVISION", help="Branch, tag or commit on the Hub.")] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option(help="Type of the weights that are written.")
    ] = "bfloat16",
) -> None:
    """Write the weights that a quantised checkpoint computes with, to measure landscapes of them.

    ```
    landscape-ray dequantize openai/gpt-oss-20b --out models/gpt-oss-20b-bf16
    ```

    Takes compressed-tensors, FP8, MXFP4, MXFP8 and, where that library is installed, bitsandbytes. Needs the whole
    model in host memory, in the type that is written, and once more for what is read of a file at a time: 16 bits of
    20 billion parameters are 40 GB. The folder appears under its name only when it is whole.
    """
    try:
        from landscape_ray.library import dequantize as write  # noqa: PLC0415 - heavy
    except ImportError as error:
        msg = (
            "Dequantising needs transformers and torch, which cannot be imported here. Install landscape-ray[gpu] or, "
            f"in a clone, `make install`. Python says: {in_brief(error)}."
        )
        raise ResourceError(msg) from error
    num_weights = write(ModelConfig(id=model, revision=revision), out, dtype=dtype)
    print_facts([("written", f"{out}, {num_weights:,} weights in {dtype}"), ("use", f"model: {{id: {out}}}")])
