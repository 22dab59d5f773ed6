"""Two sweeps side by side, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from landscape_ray.library.results import SweepResults
from landscape_ray.report.words import Fact, Told

if TYPE_CHECKING:
    from landscape_ray.analysis import Change
    from landscape_ray.report.comparison import Comparison
    from landscape_ray.report.gate import Gate, GateScore

__all__ = ["SweepComparison", "compare"]


@dataclass(frozen=True, kw_only=True)
class SweepComparison(Told):
    """How scores changed from one sweep to another; `compare` makes one, `print` shows it."""

    before: SweepResults
    """The first sweep."""
    after: SweepResults
    """The second sweep."""
    comparison: Comparison
    """Scores, the origin, and what only one of them has."""

    @property
    def benchmarks(self) -> Mapping[str, Mapping[str, Change]]:
        """Changes by benchmark and by name of the score, such as `mean_margin` or `visage`."""
        return self.comparison.benchmarks

    def gate(
        self,
        least: float,
        score: GateScore = "margin",
        on: Literal["low", "value"] = "low",
        allowed_rise: float | None = None,
    ) -> Gate:
        """Decide whether each benchmark keeps enough of its score, and its safety at the origin.

        Args:
            least: The share of the score that must be left, such as 0.9.
            score: Which score; any but the mean margin can rise as safety falls.
            on: `low`: all but surely so much is left; `value`: it was measured.
            allowed_rise: How much the ASR at the origin may rise, in percent; None: the noise floor of the first sweep.

        Raises:
            UserError: No benchmark has this score.
        """
        from landscape_ray.report.gate import decide  # noqa: PLC0415

        sweeps = self.before.results, self.after.results
        return decide(*sweeps, self.comparison, least=least, score=score, on=on, allowed_rise=allowed_rise)

    def facts(self) -> Iterator[Fact]:
        """Yield what `landscape-ray compare` prints."""
        from landscape_ray.report.words.comparison import comparison_text  # noqa: PLC0415

        return comparison_text(self.before.results, self.after.results, self.comparison)

    def document(self) -> dict[str, Any]:
        """Return the comparison as plain JSON types; what is unknown is null."""
        from landscape_ray.report.comparison import comparison_document  # noqa: PLC0415

        return comparison_document(self.before.results, self.after.results, self.comparison)


def compare(
    before: SweepResults,
    after: SweepResults,
    *,
    allow_missing: bool = False,
    definition: Literal["paper", "reference"] = "paper",
    tau_pct: float = 50.0,
) -> SweepComparison:
    """Compare two models on the benchmarks that their sweeps have in common, point by point and prompt by prompt.

    Args:
        before: The first sweep.
        after: The second sweep, of another model.
        allow_missing: Compare where both are measured.
        definition: Which VISAGE.
        tau_pct: The basin is where the ASR is at most this, in percent.

    Raises:
        OutputError: The sweeps differ in more than the model; the message names each difference.
        IncompleteError: Points are missing, and `allow_missing` is false.
    """
    from landscape_ray.report.comparison import compare_results  # noqa: PLC0415

    found = compare_results(
        before.results, after.results, definition=definition, allow_missing=allow_missing, tau_pct=tau_pct
    )
    return SweepComparison(before=before, after=after, comparison=found)
