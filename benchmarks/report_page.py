"""What the page of a model report weighs, and how fast a browser opens and uses it.

    python benchmarks/report_page.py [--rows 1000000] [--repeat 5]

It needs Chromium and playwright (`pip install --group test`). The scores are all distinct, so the
curve has as many points as rows; bootstraps have few resamples, because they change no byte.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import polars as pl

from synfin_analytics import model_report

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from browser import chromium

#: Milliseconds from the request of the page until it is loaded and its script has run, and a frame
#: later; and of moves of the slider, each until the next frame.
_OPENED = "() => performance.getEntriesByType('navigation')[0].loadEventEnd"
_MOVES = """async () => {
  const slider = document.querySelector("input[type=range]"), times = [];
  for (let i = 0; i < 50; i++) {
    const start = performance.now();
    slider.value = Math.floor(slider.max * i / 50);
    slider.dispatchEvent(new Event("input"));
    await new Promise(requestAnimationFrame);
    document.body.offsetHeight;
    times.push(performance.now() - start);
  }
  return times;
}"""


def scored(rows: int) -> pl.DataFrame:
    """Return transactions of 90 days with scores that are all distinct."""
    generator = np.random.default_rng(1)
    fraud = generator.random(rows) < 0.005
    start = np.datetime64("2026-01-01", "us")
    return pl.DataFrame(
        {
            "when": start + generator.integers(0, 90 * 86_400_000_000, rows).astype("m8[us]"),
            "customer": generator.integers(0, 20_000, rows),
            "channel": generator.choice(["pos", "online", "atm"], rows),
            "amount": generator.gamma(2, 30, rows).round(2),
            "isFraud": fraud,
            "p": 1 / (1 + np.exp(-generator.normal(-4 + 3.5 * fraud, 1.2))),
            "other": 1 / (1 + np.exp(-generator.normal(-4 + 2.5 * fraud, 1.2))),
        }
    )


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=1_000))
@click.option("--repeat", default=5, show_default=True, type=click.IntRange(min=1))
def main(rows: int, repeat: int) -> None:
    """Write a report of so many rows, open it, and move its slider."""
    frame = scored(rows)
    started = time.perf_counter()
    report = model_report(
        frame, label="isFraud", score="p", timestamp="when", customer="customer", amount="amount",
        compare_with="other", by=["channel"], n_resamples=10,
    )  # fmt: skip
    computed = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = report.save(Path(folder) / "report.html")
        written = time.perf_counter()
        opened, moves = _browse(file.as_uri(), repeat)
        size = file.stat().st_size
    print(f"rows                          {rows:>12,}")
    print(f"compute, 10 resamples         {computed - started:>12.1f} s")
    print(f"write the page                {written - computed:>12.1f} s")
    print(f"size of the page              {size / 1e3:>12,.0f} kB")
    print(f"open it, median of {repeat:<10} {statistics.median(opened):>12,.0f} ms")
    print(f"move the slider, median of 50 {statistics.median(moves):>12,.0f} ms")
    print(f"move the slider, longest      {max(moves):>12,.0f} ms")


def _browse(address: str, repeat: int) -> tuple[list[float], list[float]]:
    opened = []
    with chromium() as browser:
        for _ in range(repeat):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(address)
            opened.append(page.evaluate(_OPENED))
            moves = page.evaluate(_MOVES)
            page.close()
    return opened, moves


if __name__ == "__main__":
    main()
