"""The command `verify`: what an engine computes at points, against fresh loads of their weights."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from landscape_ray.cli.app import ConfigFile, Json, Overrides, app
from landscape_ray.cli.text import columns, print_facts, print_json
from landscape_ray.config import SweepConfig, load_config
from landscape_ray.errors import ResourceError

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
    from landscape_ray.engine.factory import import_engine  # noqa: PLC0415  (torch and an engine's library)

    sweep = load_config(config, set_ or ())
    spec = _spec(sweep)
    import_engine(spec)
    from landscape_ray.engine.proof.proven import Combination, prove, require_way  # noqa: PLC0415

    proof = prove(spec, Combination.of(spec), anew=True, full=full)
    assert proof is not None  # noqa: S101  (it has waited for others)
    if json_:
        rows = [{**asdict(each), "holds": each.holds} for each in proof.comparisons]
        ways = {way: proof.holds(way) for way in proof.ways}
        combination = asdict(proof.combination)
        print_json({**combination, "on": proof.on, "seconds": proof.seconds, "ways": ways, "comparisons": rows})
    else:
        of = proof.combination
        typer.echo(f"{of.architecture}, {of.engine}, torch {of.torch}, {of.device}, {of.dtype}, batching {of.batching}")
        typer.echo("\n".join(_table(proof.comparisons)))
    sentence = require_way(proof, proof.ways[0])  # the way that engines take where they have several
    if not json_:
        print_facts([("proven", sentence), ("took", f"{proof.seconds:.0f} s")])


def _spec(sweep: SweepConfig) -> Any:
    from landscape_ray.engine import EngineSpec  # noqa: PLC0415
    from landscape_ray.engine.checkpoints.resolution import resolve  # noqa: PLC0415

    if sweep.engine == "synthetic":
        msg = "The synthetic engine has no weights, so there is nothing to verify; set engine to vllm or transformers."
        raise ResourceError(msg)
    model = resolve(sweep.model)
    return EngineSpec(
        engine=sweep.engine,
        model=model.location,
        revision=model.revision,
        dtype=sweep.dtype,
        run=sweep.run,
        batching=sweep.batching,
    )


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
    return columns([COLUMNS, *lines])
