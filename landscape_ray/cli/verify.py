"""The command `verify`: what an engine computes at points, against fresh loads of their weights."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from landscape_ray import library
from landscape_ray.cli.app import ConfigFile, Json, Overrides, app
from landscape_ray.cli.text import print_facts, print_json
from landscape_ray.config import load_config

__all__ = ["verify"]

COLUMNS = ("way", "point", "difference", "allowed", "answers", "verdict")


@app.command()
def verify(
    config: ConfigFile,
    *,
    set_: Overrides = None,
    full: Annotated[
        bool, typer.Option("--full", help="Prove the model itself, not a small twin; some of its points are written.")
    ] = False,
    json_: Json = False,
) -> None:
    """Prove that a point's weights, once placed, compute what the same weights compute when loaded afresh.

    A run does this by itself, once for each combination of architecture, library, device, type and batching, and
    remembers it; this command does it anew and shows what was found. Run it where the engines run: on a machine of
    another kind it proves another combination.

    ```
    landscape-ray verify my.yaml
    landscape-ray verify my.yaml --set batching=line
    TMPDIR=/large/disk landscape-ray verify my.yaml --full
    ```

    It makes a *small twin* of the model, with the same architecture and switches, a layer of each kind and random
    weights, writes the weights of some points as checkpoints, and loads each into an engine of its own. Then an engine
    that starts at the twin is placed at these points, and at the origin again. Probe texts must be as likely, and in
    float32 answers must be the same tokens. With --full this is done with the model: it takes the time of four engine
    starts, and twice the model's size in the folder for temporary files.

    Exits with 1 if a way in which engines place points is not proven: a run would refuse to measure.
    """
    proof = library.verify(load_config(config, set_ or ()), full=full)
    if json_:
        rows = [{**asdict(each), "holds": each.holds} for each in proof.comparisons]
        ways = {way: proof.holds(way) for way in proof.ways}
        combination = asdict(proof.combination)
        print_json({**combination, "on": proof.on, "seconds": proof.seconds, "ways": ways, "comparisons": rows})
    else:
        of = proof.combination
        typer.echo(f"{of.architecture}, {of.engine}, torch {of.torch}, {of.device}, {of.dtype}, batching {of.batching}")
        typer.echo("\n".join(_table(proof.comparisons)))
    sentence = library.require_way(proof, proof.ways[0])  # the way that engines take where they have several
    if not json_:
        print_facts([("proven", sentence), ("took", f"{proof.seconds:.0f} s")])


def _table(comparisons: Sequence[Any]) -> Iterator[str]:
    """Return comparisons, one a line. Their class is in the engines' package, which is heavy."""
    lines = [
        (
            each.way,
            each.point,
            f"{each.difference:.2g} nats",
            f"{each.tolerance:.2g}",
            f"{each.num_equal} of {each.num_answers} equal",
            "holds" if each.holds else "DIFFERS",
        )
        for each in comparisons
    ]
    return library.columns([COLUMNS, *lines])
