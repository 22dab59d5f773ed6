"""From what `model_families.py` measured to the page `docs/models.md`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["PAGE", "RESULTS", "page"]

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "models.json"
PAGE = RESULTS.with_suffix(".md")
MOST_CHARS = 240

HEAD = """# Which models are measured right

Made by `benchmarks/model_families.py` from tiny random checkpoints of each architecture, in float32 on two CPU cores,
with vLLM {vllm} and transformers {transformers}. Do not edit it: it is compared with `models.json`.

Truth is a fresh load. Every tensor is moved along a direction, by 0.1 and 0.3 of its norm, and back. *Right*: all
greedy texts are those of the same weights loaded from files, and log-likelihoods are within 0.001 nats.

- *Reloaded*: the way on CPUs, and wherever vLLM packs weights.
- *In place*: the way on GPUs, measured here with packing switched off; *not used* where memory does not hold what is in
  the file, as with experts that are packed.
- *Lines*: several points in one batch (`batching: line`).
- *Both*: in how many texts vLLM and transformers agree. It says nothing about placing: libraries differ in what some
  files mean.
- *Since*: the version that the row was first measured with.

Of multimodal models the language model is measured, with prompts of text. Notes say why something is refused.

"""
TABLE = """| family | architecture | tensors | reloaded | in place | lines | transformers | both | since |
|---|---|---|---|---|---|---|---|---|
"""
NOT_COVERED = re.compile(r"would move (?:\S+, )?([A-Za-z]\w*),? (?:and only|whose)")


def page(results: Mapping[str, Any]) -> str:
    """Return the page for these results."""
    notes: dict[str, int] = {}
    rows = [_row(name, family, notes) for name, family in results["families"].items()]
    listed = "".join(f"{number}. {note}\n" for note, number in notes.items())
    text = HEAD.format(**results["versions"])
    return (
        f"{text}{len(rows)} families, of which {_num_right(results)} are right in vLLM.\n\n{TABLE}{''.join(rows)}\n"
        + (f"## Notes\n\n{listed}" if notes else "")
    )


def _num_right(results: Mapping[str, Any]) -> int:
    return sum(family["vllm"]["reload"]["state"] == "right" for family in results["families"].values())


def _row(name: str, family: Mapping[str, Any], notes: dict[str, int]) -> str:
    vllm, both = family["vllm"], family.get("agreement")
    ways = [_cell(found, notes) for found in (vllm["reload"], vllm["in place"], vllm["lines"], family["transformers"])]
    cells = [name, f"`{family['architecture']}`", str(family["tensors"]), *ways, both["texts"] if both else ""]
    return f"| {' | '.join([*cells, family['since']])} |\n"


def _cell(found: Mapping[str, Any], notes: dict[str, int]) -> str:
    if "why" not in found:
        return str(found["state"])
    number = notes.setdefault(_note(found["why"]), len(notes) + 1)
    return f"{found['state']} ({number})"


def _note(why: str) -> str:
    if match := NOT_COVERED.search(why):
        return f"Directions cannot be put beside `{match[1]}`: use `batching: point`."
    text = " ".join(why.split())
    text = text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS].rpartition(' ')[0]} ..."
    return text.replace("|", "\\|").replace("<", "\\<")
