"""`import landscape_ray as lr` on a sweep of the synthetic engine, against the formula of that engine."""

import base64
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import landscape_ray as lr
from landscape_ray.config import SweepConfig
from landscape_ray.errors import ConfigError, IncompleteError
from landscape_ray.library import SweepResults
from landscape_ray.report.scores import score

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

Rows = dict[tuple[Any, ...], str]
ALPHAS = (-0.2, -0.1, 0.0, 0.1, 0.2)
API = Path(__file__).parents[2] / "docs" / "api.md"


@pytest.fixture
def config(synthetic_config: Callable[..., SweepConfig]) -> SweepConfig:
    return synthetic_config(benchmarks=("harmful", "other"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def results(config: SweepConfig, folder: Path) -> SweepResults:
    """Run the sweep when it is first asked for; its results need nothing of a test's own folder."""
    if not (folder / "parts").exists():
        lr.run(config, folder)
    return lr.open_results(folder)


def complied(rows: Rows, draw: int, alpha: float) -> list[bool]:
    """Which of the twelve prompts comply; the origin is shared by all draws."""
    place = (draw, 0, (alpha,)) if alpha else (None, 0, (0.0,))
    return [rows[(*place, "harmful", number)] == "complied" for number in range(12)]


def test_values_are_those_of_the_formula_in_every_form(
    results: SweepResults, config: SweepConfig, expected_rows: Callable[[SweepConfig], Rows]
) -> None:
    rows = expected_rows(config)
    expected = np.array([[100 * np.mean(complied(rows, draw, alpha)) for alpha in ALPHAS] for draw in range(2)])
    assert results.benchmarks == ("harmful", "other")
    landscape = results.landscape()
    assert (landscape.axes, landscape.unit) == ({"alpha": ALPHAS}, "%")
    assert expected.max() > 0, "nothing complies, so nothing is compared"
    np.testing.assert_allclose(landscape.values, expected, rtol=1e-12)

    array = landscape.to_xarray()
    assert (array.name, array.dims, array.attrs) == ("harmful", ("draw", "alpha"), {"metric": "asr", "units": "%"})
    for draw in range(2):
        for place, alpha in enumerate(ALPHAS):
            assert array.sel(draw=draw, alpha=alpha).item() == landscape.values[draw, place]
    flat = expected.ravel().tolist()
    assert landscape.to_pandas()["value"].tolist() == pytest.approx(flat)
    polars = landscape.to_polars()
    assert polars["value"].to_list() == pytest.approx(flat)
    assert list(zip(polars["draw"], polars["alpha"], strict=True)) == [(d, a) for d in range(2) for a in ALPHAS]


def test_rows_and_texts_are_those_that_were_stored(
    results: SweepResults, config: SweepConfig, expected_rows: Callable[[SweepConfig], Rows]
) -> None:
    rows = expected_rows(config)
    stored = results.rows("other").select(["draw", "repeat", "alpha", "prompt_index", "verdict"]).to_pylist()
    places = [(row["draw"], row["repeat"], (row["alpha"],), "other", row["prompt_index"]) for row in stored]
    assert len(set(places)) == len(places)
    assert dict(zip(places, (row["verdict"] for row in stored), strict=True)) == {
        place: verdict for place, verdict in rows.items() if place[3] == "other"
    }
    for draw, alpha in ((1, 0.2), (0, -0.1), (1, 0.0)):
        texts = results.texts(alpha, draw=draw)
        assert [text["prompt"] for text in texts] == [f"harmful request {number}" for number in range(12)]
        assert [text["verdict"] == "complied" for text in texts] == complied(rows, draw, alpha)


def test_scores_comparison_and_figure(results: SweepResults) -> None:
    scores = results.scores()
    assert scores.keys() == {"harmful", "other"}
    assert scores["harmful"].visage == score(results.results)["harmful"].visage
    shown = results.figure("other")._repr_html_()
    found = re.fullmatch(r'<img alt="no-such-model, other" src="data:image/svg\+xml;base64,([\w+/=]+)">', shown)
    assert found is not None
    assert b"<svg" in base64.b64decode(found[1])
    same = lr.compare(results, results).benchmarks["harmful"]["visage"]
    assert (same.before, same.difference.value) == (scores["harmful"].visages[0].value, 0.0)


def test_a_run_tells_how_it_goes_and_is_resumed(config: SweepConfig, tmp_path: Path) -> None:
    seen: list[int] = []
    outcome = lr.run(config, tmp_path / "out", progress=lambda status: seen.append(status.num_done))
    assert (outcome.exit_code, outcome.num_missing) == (0, 0)
    assert seen[-1] == outcome.num_points
    assert lr.run(config, tmp_path / "out").num_done == outcome.num_points


def test_what_is_not_there_is_named(results: SweepResults, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no benchmark 'harmless', but harmful, other\."):
        results.landscape("harmless")
    with pytest.raises(ConfigError, match=r"has no point \(0\.15\) in draw 0\. Its axes are .*0\.1, 0\.2"):
        results.texts(0.15)
    assert "plan" in dir(lr)
    assert len(repr(results)) < 1000
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        lr.no_such_name  # type: ignore[attr-defined]  # noqa: B018
    shutil.copytree(results.out, tmp_path / "out")
    next((tmp_path / "out" / "parts").glob("*.parquet")).unlink()
    with pytest.raises(IncompleteError):
        lr.open_results(tmp_path / "out").scores()


def test_a_configuration_is_changed_key_by_key(config: SweepConfig, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    changed = lr.load_config(path, directions__draws=5, benchmarks__0__limit=8, run__synthetic__delay_s=1e-05)
    assert changed.random_directions is not None
    assert changed.random_directions.draws == 5
    assert changed.benchmarks[0].limit == 8
    assert changed.run.synthetic.delay_s == 1e-05
    with pytest.raises(ConfigError, match="drawz"):
        lr.load_config(path, directions__drawz=5)


def test_the_examples_of_the_documentation_run(
    config: SweepConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    names: dict[str, Any] = {}
    page = API.read_text(encoding="utf-8")
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, names)  # noqa: S102 - our own page
    assert names["results"].benchmarks == ("harmful", "other")
    assert set(lr.__all__) - {"verify"} <= set(re.findall(r"lr\.(\w+)\(", page)), "each has its example"
    gates = [names["change"].gate(least, on=on).passed for least, on in ((0.9, "low"), (0.7, "low"), (0.9, "value"))]
    assert gates == [False, True, True], (
        "of the same results all is kept, and twelve prompts show that at least 0.76 is"
    )
    assert (tmp_path / "report" / "report.html").exists()
    assert (tmp_path / "points.csv").read_text(encoding="utf-8").count("\n") == 1 + 2 * 3 * len(ALPHAS)
