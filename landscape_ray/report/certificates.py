"""The certificates of a results folder: how sure it is that no wall is near."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from landscape_ray.analysis import Certificate, certificate
from landscape_ray.config import CertifyConfig, check_radius, problems_of
from landscape_ray.errors import IncompleteError, UserError, few_of, number_of
from landscape_ray.report.results import Results
from landscape_ray.report.words import Fact, Told

__all__ = ["Certificates", "asked_of", "certificates", "own_certificates"]

MAX_LISTED = 10


class Certificates(Told, dict[str, Certificate]):
    """What draws say of all directions, by benchmark."""

    @property
    def certified(self) -> bool:
        """Whether the share is certified in every benchmark, and there is one."""
        return bool(self) and all(each.certified for each in self.values())

    def facts(self) -> Iterator[Fact]:
        """Yield what draws say of all directions, benchmark by benchmark."""
        for name, each in self.items():
            lines = list(_lines(each))
            yield from zip((name, *[""] * len(lines)), lines, strict=False)


def asked_of(results: Results, given: Mapping[str, Any]) -> CertifyConfig:
    """Return what is to be certified: what is given, the rest as the sweep's own configuration says.

    Raises:
        UserError: There is no radius, or a value out of its range.
    """
    own = {} if results.config.certify is None else results.config.certify.model_dump()
    try:
        return CertifyConfig.model_validate(own | dict(given))
    except ValidationError as error:
        msg = f"Cannot certify {results.manifest.sweep_id}; give options that are in their range:\n{problems_of(error)}"
        raise UserError(msg) from error


def certificates(results: Results, asked: CertifyConfig) -> Certificates:
    """Return the certificate of each benchmark of attack success rates, in the order of the configuration.

    Raises:
        UserError: The landscape does not show which random directions are basins of this radius, no benchmark has
            attack success rates, or the sweep is adaptive and left out points within the radius.
        IncompleteError: No draw is begun.
    """
    try:
        check_radius(results.config.landscape, asked.radius)
    except ValueError as error:
        msg = f"Nothing can be certified of sweep {results.manifest.sweep_id}: {error}."
        raise UserError(msg) from error
    if results.config.random_directions is None:
        msg = (
            f"Sweep {results.manifest.sweep_id} has no random directions, which alone are a sample of all. Add some to "
            "`directions`, and run it again."
        )
        raise UserError(msg)
    attacked = [results.scored(name) for name, each in results.landscapes.items() if each.metric.name == "asr"]
    if not attacked:
        msg = (
            f"Sweep {results.manifest.sweep_id} has no benchmark of metric asr, and the wall is where attacks succeed. "
            "Add one to the configuration, and run it again."
        )
        raise UserError(msg)
    found = Certificates({each.benchmark: certificate(each, asked) for each in attacked})
    if results.design is not None and any(each.undecided for each in found.values()):
        msg = (
            f"Sweep {results.manifest.sweep_id} is adaptive and left out points within the radius {asked.radius:g}, so "
            "nobody knows whether these draws are basins. A run without `adaptive` into the same folder measures them."
        )
        raise UserError(msg)
    return found


def own_certificates(results: Results) -> Certificates:
    """Return the certificates that a sweep's own configuration asks for.

    None if it asks for none, no draw is begun, or another judge did not judge attacks.
    """
    asked = results.config.certify
    if asked is None or all(each.metric.name != "asr" for each in results.landscapes.values()):
        return Certificates()
    try:
        return certificates(results, asked)
    except IncompleteError:
        return Certificates()


def _lines(found: Certificate) -> Iterator[str]:
    verdict = "certified" if found.certified else "NOT certified"
    yield f"{verdict}: at least {100 * found.wanted_share:g} % of directions are basins of radius {found.radius:g}"
    yield (
        f"{found.num_basins} of {number_of(found.num_draws, 'draw')}, {100 * found.share:.1f} %: at least "
        f"{100 * found.bound:.1f} % of all directions, with a confidence of {100 * found.confidence:g} %"
    )
    for wall in found.walls[:MAX_LISTED]:
        yield f"draw {wall.draw} meets the wall at {wall.coordinate:g}: ASR {wall.asr_pct:.1f} %"
    if len(found.walls) > MAX_LISTED:
        yield f"and {number_of(len(found.walls) - MAX_LISTED, 'draw')} more, see --json"
    if found.undecided:
        draws = f"{number_of(len(found.undecided), 'draw')} ({few_of(map(str, found.undecided))})"
        yield f"points within the radius are missing in {draws}, which count as no basins until they are measured"
    if not found.certified:
        yield f"if all draws were basins, {found.fewest_draws} would do, fixed before the first is looked at"
