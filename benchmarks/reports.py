"""Our model report, skore's EstimatorReport and evidently's reports, of the same scored file.

``python benchmarks/reports.py`` prints what each page shows, its size, the seconds from the start
of Python to the written page, and the requests that the page sends when a browser opens it. skore
and evidently are installed into ``out/peers/`` on first use: evidently requires pandas 2.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

from _measure import print_markdown

HERE = Path(__file__).parent
PEERS = HERE.parent / "out" / "peers"


@dataclass(frozen=True)
class Peer:
    """A package that writes a report, and what installs it (None: this environment has it)."""

    name: str
    script: str
    requirements: tuple[str, ...] | None = None

    def python(self) -> str:
        """Return the interpreter of its environment, which is created if there is none."""
        if self.requirements is None:
            return sys.executable
        folder = PEERS / self.name
        python = folder / "bin" / "python"
        if not (folder / "installed").exists():
            venv.create(folder, with_pip=True, clear=True)
            command = [python, "-m", "pip", "install", "--quiet", *self.requirements]
            subprocess.run(command, check=True)
            (folder / "installed").touch()
        return str(python)

    def version(self) -> str:
        """Return the version that was measured."""
        code = f"from importlib.metadata import version; print(version({self.name!r}))"
        command = [self.python(), "-c", code]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


OURS = Peer("synfin-analytics", "_report_synfin.py")
SKORE = Peer("skore", "_report_skore.py", ("skore>=0.28",))
EVIDENTLY = Peer("evidently", "_report_evidently.py", ("evidently>=0.7.23", "pandas<3"))

#: What a page may show, and words of which one is in its text if it does.
TOPICS = {
    "ROC AUC": r"roc[ _-]?auc",
    "average precision": r"average[ _]precision",
    "log loss": r"log[ _-]?loss",
    "Brier score": r"brier",
    "KS statistic": r"\bks\b|kolmogorov",
    "Gini": r"\bgini",
    "confusion matrix": r"confusion[ _]matrix|true positives|frauds detected",
    "ROC and precision-recall curves": r"(roc curve[\s\S]*)?precision[ -]recall",
    "calibration": r"calibration",
    "gains and lift": r"\blift\b",
    "confidence intervals": r"\b95 ?% ci\b|confidence interval",
    "threshold by cost": r"lowest cost|cost of (each|every) threshold|cost per alert",
    "alerts per day": r"alerts (per|a) day",
    "value of the fraud caught": r"value (caught|detect)|missed fraud",
    "comparison of groups": r"\bby channel\b",
    "change over time": r"\bby week\b|weekly",
    "drift between two periods": r"\bdrift\b",
    "what the numbers cannot show": r"limitations",
}


def write_scored_file(path: Path, rows: int) -> None:
    """Write simulated payments with the scores of the baseline model."""
    from synfin_analytics import fit_baseline, simulate

    customers = max(50, rows // 35)
    world = simulate(customers, max(20, customers // 5), 120, seed=0, output="polars")
    model = fit_baseline(world.transactions)
    columns = ["transaction_id", "customer_id", "timestamp", "amount", "channel", "is_fraud"]
    scores = model.predictions.select("transaction_id", score="fraud_probability")
    scored = world.transactions.select(columns).join(scores, on="transaction_id").head(rows)
    scored.with_columns(is_fraud=scored["is_fraud"].cast(int)).write_csv(path)


def count_requests(page: Path) -> tuple[int, str]:
    """Open a page in Chromium; return how many requests leave it, and its text."""
    sys.path.insert(0, str(HERE.parent / "tests" / "support"))
    from browser import chromium

    with chromium() as browser:
        view = browser.new_page()
        addresses: list[str] = []
        view.on("request", lambda request: addresses.append(request.url))
        view.goto(page.as_uri(), wait_until="load")
        view.wait_for_timeout(3000)
        # Folded sections count as shown; scripts do not.
        view.evaluate("document.querySelectorAll('script, style').forEach(node => node.remove())")
        text = view.evaluate("document.body.textContent")
    external = [url for url in addresses if not url.startswith(("file:", "data:", "blob:"))]
    return len(external), str(text)


def main() -> None:
    """Measure each peer in turn, ``--repeat`` times, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="", help="peers whose names contain this text")
    options = parser.parse_args()
    peers = [peer for peer in (OURS, SKORE, EVIDENTLY) if options.only in peer.name]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "scored.csv"
        write_scored_file(data, options.rows)
        n_rows = sum(1 for _ in data.open(encoding="utf-8")) - 1
        seconds: dict[str, list[float]] = {peer.name: [] for peer in peers}
        pages = {peer.name: Path(folder) / f"{peer.name}.html" for peer in peers}
        for _ in range(options.repeat):
            for peer in peers:
                command = [peer.python(), str(HERE / peer.script), str(data)]
                start = time.perf_counter()
                subprocess.run(
                    [*command, str(pages[peer.name])], check=True, stdout=subprocess.DEVNULL
                )
                seconds[peer.name].append(time.perf_counter() - start)
        views = {peer.name: count_requests(pages[peer.name]) for peer in peers}
        print(f"{n_rows:,} rows, {options.repeat} runs each, in turn\n")
        print_markdown(
            [["", *(f"{peer.name} {peer.version()}" for peer in peers)]]
            + [
                ["seconds (median)", *(f"{statistics.median(seconds[p.name]):.1f}" for p in peers)],
                ["megabytes", *(f"{pages[p.name].stat().st_size / 1e6:.2f}" for p in peers)],
                ["requests", *(str(views[p.name][0]) for p in peers)],
            ]
            + [
                [topic, *("yes" if re.search(words, views[p.name][1], re.I) else "" for p in peers)]
                for topic, words in TOPICS.items()
            ]
        )


if __name__ == "__main__":
    main()
