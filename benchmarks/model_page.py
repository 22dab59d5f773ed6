"""From what `model_families.py` measured to the page `docs/models.md`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["PAGE", "RESULTS", "page"]

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "models.json"
PAGE = RESULTS.with_suffix(".md")
MOST_CHARS = 170

HEAD = """# Which models are measured right

*Right*: every tensor is moved along a direction, by 0.1 and 0.3 of its norm, and back. At each point all greedy texts
are those of the same weights loaded from files, and log-likelihoods are within 0.001 nats. Numbers in parentheses are
notes.

- *Reloaded*: the way on CPUs, and wherever vLLM packs weights.
- *In place*: the way on GPUs, measured here with packing switched off; *not used* where memory does not hold what is in
  the file, as with packed experts.
- *Lines*: several points in one batch (`batching: line`).

Measured by `benchmarks/model_families.py` on tiny random checkpoints, in float32 on two CPU cores, with vLLM {vllm} and
transformers {transformers}. Of multimodal models the language model is measured, with prompts of text. Do not edit this
page: it is made from `models.json`.

"""
# Nats by which libraries may differ in a text's log-likelihood before they are said to disagree.
ALIKE = 1e-3
DIFFERENCES = {
    "Bloom": "vLLM computes the GELU exactly, transformers by tanh, as the model was trained.",
    "DeepSeek V3, no YaRN": (
        "vLLM's kernel of plain rotations for CPUs mistakes the distance between heads for that between tokens where "
        "queries have three dimensions. With YaRN, as DeepSeek's own models have it, both agree."
    ),
    "ERNIE 4.5-MoE": "vLLM's router for CPUs leaves out the correction bias of experts that are chosen by softmax.",
}
"""Why libraries disagree: each was found by changing that one thing, after which both agreed."""
TABLE = """| reloaded | in place | lines | transformers | families |
|---|---|---|---|---|
"""
NOT_COVERED = re.compile(r"would move (?:\S+, )?[A-Za-z]\w*,? (?:and only|whose)")


def page(results: Mapping[str, Any]) -> str:
    """Return the page for these results."""
    families: Mapping[str, Any] = results["families"]
    notes: dict[str, int] = {}
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, family in families.items():
        text = f"{name} (`{family['architecture']}`)"
        groups.setdefault(_ways(family, notes), []).append(text)
    rows = [f"| {' | '.join([*ways, '; '.join(names)])} |\n" for ways, names in groups.items()]
    listed = "".join(f"{number}. {note}\n" for note, number in notes.items())
    return (
        HEAD.format(**results["versions"])
        + f"{len(families)} families, of which {_num_right(results)} are right in vLLM. {_since(families)}\n\n"
        + f"{TABLE}{''.join(rows)}\n{_agreement(families)}\n"
        + (f"\n## Notes\n\n{listed}" if notes else "")
    )


def _since(families: Mapping[str, Any]) -> str:
    """Say with which version each family was first measured."""
    names: dict[str, list[str]] = {}
    for name, family in families.items():
        names.setdefault(family["since"], []).append(name)
    first, *later = names
    others = "".join(f" Since {version}: {', '.join(names[version])}." for version in later)
    return f"First measured with version {first}{', but those named here' if later else ''}.{others}"


def _agreement(families: Mapping[str, Any]) -> str:
    """Say where the two libraries compute something else from the same files, and why."""
    found = {name: family["agreement"] for name, family in families.items() if family.get("agreement")}
    unlike = "".join(
        f"- {name} ({each['texts']} texts, {each['nats']:g} nats): {DIFFERENCES[name]}\n"
        for name, each in found.items()
        if len(set(each["texts"].split("/"))) > 1 or each["nats"] > ALIKE
    )
    return (
        "Where both libraries start, vLLM and transformers agree in all texts, and within 0.001 nats"
        + (f", but for these:\n\n{unlike}\nAgreement" if unlike else ". Agreement")
        + " says nothing about placing. GPUs, where vLLM has other kernels and routers, were not measured."
    )


def _num_right(results: Mapping[str, Any]) -> int:
    return sum(family["vllm"]["reload"]["state"] == "right" for family in results["families"].values())


def _ways(family: Mapping[str, Any], notes: dict[str, int]) -> tuple[str, ...]:
    vllm = family["vllm"]
    return tuple(
        _cell(found, notes) for found in (vllm["reload"], vllm["in place"], vllm["lines"], family["transformers"])
    )


def _cell(found: Mapping[str, Any], notes: dict[str, int]) -> str:
    if "why" not in found:
        return str(found["state"])
    number = notes.setdefault(_note(found["why"]), len(notes) + 1)
    return f"{found['state']} ({number})"


def _note(why: str) -> str:
    if NOT_COVERED.search(why):
        return "Directions cannot be put beside one of the model's modules: use `batching: point`."
    text = " ".join(why.split())
    text = text if len(text) <= MOST_CHARS else f"{text[:MOST_CHARS].rpartition(' ')[0]} ..."
    return text.replace("|", "\\|").replace("<", "\\<")
