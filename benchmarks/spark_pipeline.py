"""Spark from transactions to a report: python benchmarks/spark_pipeline.py --rows 1000000

Simulates a world to Parquet (or takes the one of ``--world``), and runs on ``local[2]``: features,
split by time, fit on a sample, the baseline model, scores, evaluation and report. Each run is a
process of its own; each step prints seconds, CPU time of all processes, and the peak memory of the
client, the Python process that calls this package. The CPU time of a worker that Spark ended during
a step is missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl
from _capacity_run import ENGINES, Task, measured, run_simulation
from _measure import print_markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import DataFrame

SIZES = (1_000_000,)
DAYS = 90
#: Rows of the sample that a model is fitted on.
SAMPLE_ROWS = 200_000
#: Columns of the transactions that an evaluation and a report need beside the features.
COLUMNS = [
    "transaction_id", "customer_id", "merchant_id", "timestamp", "amount", "channel", "is_fraud",
    "label_available_at",
]  # fmt: skip
ROLES = {
    "timestamp": "timestamp",
    "customer": "customer_id",
    "merchant": "merchant_id",
    "amount": "amount",
    "label_available_at": "label_available_at",
}
_RESET = Path("/proc/self/clear_refs")


class Pipeline:
    """The steps, each of which leaves what later ones need.

    Parameters
    ----------
    transactions
        The frame of Spark.
    task
        Where results go.
    """

    def __init__(self, transactions: DataFrame, task: Task) -> None:
        self._transactions, self._task = transactions, task

    def features(self) -> None:
        """Write the 69 features, and read them beside the transactions."""
        from synfin_analytics import engineer_features

        folder = str(self._task.scratch / "features")
        features: Any = engineer_features(self._transactions, **self._task.buckets)
        features.write.parquet(folder)
        types = dict(features.dtypes)
        self._names = [
            name for name in features.columns if name not in COLUMNS and types[name] != "string"
        ]
        read = self._transactions.sparkSession.read.parquet(folder)
        rows = self._transactions.select(COLUMNS)
        self._rows = rows.join(read.select("transaction_id", *self._names), "transaction_id")

    def split(self) -> None:
        """Split by time: two lazy frames."""
        from synfin_analytics import time_split

        self._split = time_split(
            self._rows, "42d", "7d", "28d", label_available_at="label_available_at"
        )

    def fit(self) -> None:
        """Fit trees on a sample of the training set."""
        from sklearn.ensemble import HistGradientBoostingClassifier

        train: Any = self._split.train
        fraction = min(1.0, SAMPLE_ROWS / self._task.rows)
        sample = train.select("is_fraud", *self._names).sample(fraction=fraction, seed=1)
        frame = pl.DataFrame(sample.toArrow())
        # Trees cannot be fitted on a feature that is missing in all rows.
        self._names = [name for name in self._names if frame[name].null_count() < len(frame)]
        features = frame.select(pl.col(self._names).cast(pl.Float64)).to_pandas()
        self._model = HistGradientBoostingClassifier(random_state=1)
        self._model.fit(features, frame["is_fraud"].cast(pl.Boolean).to_numpy())

    def fit_baseline(self) -> None:
        """Fit the baseline model on all transactions."""
        from synfin_analytics import fit_baseline

        fit_baseline(self._transactions)

    def score(self) -> None:
        """Write the scores of the test set."""
        from synfin_analytics import score

        test: Any = self._split.test
        scored: Any = score(test.select(*COLUMNS, *self._names), self._model)
        folder = str(self._task.scratch / "scored")
        scored.select(*COLUMNS, "fraud_probability").write.parquet(folder)
        self._scored = self._transactions.sparkSession.read.parquet(folder)

    def evaluate(self) -> None:
        """Evaluate the scores."""
        from synfin_analytics import evaluate

        evaluate(self._scored, amount="amount").summary()

    def model_report(self) -> None:
        """Report on the scores."""
        from synfin_analytics import model_report

        report = model_report(self._scored, label="is_fraud", score="fraud_probability", **ROLES)
        report.save(self._task.scratch / "model.html")

    def fraud_report(self) -> None:
        """Report on the fraud of all transactions."""
        from synfin_analytics import fraud_report

        rows: Any = self._transactions.select(COLUMNS)
        report = fraud_report(rows, label="is_fraud", **ROLES)
        report.save(self._task.scratch / "fraud.html")

    @property
    def steps(self) -> dict[str, Callable[[], None]]:
        """All steps in their order."""
        return {
            step.__name__: step
            for step in (
                self.features, self.split, self.fit, self.fit_baseline, self.score, self.evaluate,
                self.model_report, self.fraud_report,
            )
        }  # fmt: skip


def run_pipeline(world: Path, rows: int, skipped: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each step and its measurement; the peaks are those of the step alone."""
    with tempfile.TemporaryDirectory(dir=world.parent) as scratch:
        task = Task("spark", world / "transactions", rows, "", Path(scratch))
        with ENGINES["spark"](task) as open_frame:
            pipeline = Pipeline(open_frame(), task)
            for name, step in pipeline.steps.items():
                if name not in skipped:
                    _RESET.write_text("5")
                    yield name, measured(step, ArithmeticError)


def count_rows(world: Path) -> int:
    rows: int = pl.scan_parquet(world / "transactions/*.parquet").select(pl.len()).collect().item()
    return rows


@click.command()
@click.option("--rows", "sizes", type=int, multiple=True, default=SIZES, show_default=True)
@click.option("--world", type=click.Path(path_type=Path), help="A simulated world, with its rows.")
@click.option("--skip", "skipped", multiple=True, help="A step to leave out.")
@click.option("--folder", type=click.Path(path_type=Path), help="For files; some 1.5 kB a row.")
@click.option("--single", type=click.Path(path_type=Path), hidden=True)
def main(
    sizes: tuple[int, ...],
    world: Path | None,
    skipped: tuple[str, ...],
    folder: Path | None,
    single: Path | None,
) -> None:
    """Print seconds, CPU seconds and peak memory of the client by step."""
    if single is not None:
        for step, measurement in run_pipeline(single, count_rows(single), set(skipped)):
            click.echo(json.dumps([step, measurement]))
        return
    lines = [["rows", "step", "seconds", "CPU seconds", "client, peak MB", "others, peak MB"]]
    lines.append(["---:", "---", *["---:"] * 4])
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        worlds = [world] if world is not None else [Path(scratch, str(size)) for size in sizes]
        for place, size in zip(worlds, sizes, strict=False):
            if not (place / "transactions").exists():
                run_simulation(place, size, DAYS, 0)
            rows = f"{count_rows(place):,}"
            options = [option for step in skipped for option in ("--skip", step)]
            command = [sys.executable, __file__, "--single", str(place), *options]
            result = subprocess.run(command, capture_output=True, text=True)
            for line in result.stdout.splitlines():
                step, numbers = json.loads(line)
                lines.append(
                    [
                        rows,
                        f"`{step}`",
                        *(f"{numbers[name]:,.1f}" for name in ("seconds", "cpu")),
                        *(f"{numbers[name]:,.0f}" for name in ("peak", "peak of others")),
                    ]
                )
            if result.returncode:
                raise click.ClickException(result.stderr.strip()[-2000:])
    print_markdown(lines)


if __name__ == "__main__":
    main()
