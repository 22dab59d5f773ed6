"""Write a report of a large 2-D sweep and open it in a browser: the times of docs/performance.md.

    python benchmarks/report_page.py                      # 21 x 21 points, 80 prompts, 512 tokens each; about a minute

The sweep is not measured but made up: answers are words drawn from a vocabulary with the frequencies of language, which
compress about as well. A Chromium must be there; CHROMIUM names it (`make browser` puts one into .venv/browser).
"""

import argparse
import math
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from made_up import begin_sweep, made_up_record, publish
from playwright.sync_api import sync_playwright
from timing import timed

from landscape_ray.report.folder import write_report
from landscape_ray.sweep import PreparedSweep

WORDS_PER_TOKEN = 0.75
NUM_OPENINGS = 5


def main() -> None:
    """Make a sweep up, write its report, open it, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=21, help="points of each of the two axes")
    parser.add_argument("--prompts", type=int, default=80)
    parser.add_argument("--tokens", type=int, default=512, help="length of each answer")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sweep = begin_sweep(Path(folder), num_points=arguments.points, num_prompts=arguments.prompts)
        num_bytes = make_up(sweep, arguments.tokens)
        written_s, (page, *_) = timed(lambda: write_report(sweep.out, Path(folder, "report")).files)
        loaded_s, drawn_s, answers_s = open_page(page)
        print(f"{arguments.points**2} points, {arguments.prompts} prompts, {num_bytes / 2**20:.0f} MiB of answers")
        print(f"written in           {written_s:.1f} s")
        print(f"size of the page     {page.stat().st_size / 2**20:.1f} MiB")
        print(f"loaded (load event)  {loaded_s:.2f} s")
        print(f"first figure drawn   {drawn_s:.2f} s")
        print(f"answers of a point   {answers_s:.2f} s")


def make_up(sweep: PreparedSweep, num_tokens: int) -> int:
    """Publish the parts of a sweep that nobody ran; return the number of bytes of its answers."""
    random = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = np.array(["".join(random.choice(letters, size)) for size in random.integers(2, 11, 20_000)])
    zipf = 1 / np.arange(1, len(vocabulary) + 1)
    zipf /= zipf.sum()
    num_prompts, num_words, num_bytes = len(sweep.spec.benchmarks[0].prompts), int(num_tokens * WORDS_PER_TOKEN), 0
    for point in sweep.plan.points:
        texts = [" ".join(row) for row in random.choice(vocabulary, (num_prompts, num_words), p=zipf)]
        num_bytes += sum(map(len, texts))
        # More prompts comply further out.
        num_complied = round(num_prompts * min(1.0, max(0.0, 4 * math.hypot(*point.coordinates) - 0.6)))
        publish(sweep, [made_up_record(sweep, point, texts, num_tokens=num_tokens, num_complied=num_complied)])
    return num_bytes


def open_page(path: Path) -> tuple[float, float, float]:
    """Open the page some times; return median seconds to load, to the first figure, and to a point's answers."""
    own = Path(__file__).parents[1] / ".venv" / "browser" / "chromium"
    executable = os.environ.get("CHROMIUM") or (str(own) if own.exists() else None)
    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        for _ in range(NUM_OPENINGS):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            begun = time.perf_counter()
            page.goto(path.as_uri(), wait_until="load")
            loaded = time.perf_counter()
            page.locator(".contour .contourlayer").first.wait_for(state="attached")
            drawn = time.perf_counter()
            page.click("#chooser button")
            page.click("#reveal")
            asked = time.perf_counter()
            page.locator("#texts li").first.wait_for()
            seconds.append((loaded - begun, drawn - begun, time.perf_counter() - asked))
            page.close()
        browser.close()
    loaded_s, drawn_s, answers_s = (statistics.median(column) for column in zip(*seconds, strict=True))
    return loaded_s, drawn_s, answers_s


if __name__ == "__main__":
    main()
