"""How many rows of counts leave a lazy engine for precision@k and intervals, and the time it takes.

    python benchmarks/lazy_rows.py --rows 1000000

Each question is asked of a frame in memory, and of lazy frames that read the same Parquet file, in
turn and in one process. The ratio of times is that to the frame in memory.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import click
import numpy as np
import polars as pl
from _measure import print_markdown

from synfin_analytics import evaluate
from synfin_analytics.metrics import _row_metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from synfin_analytics import Evaluation

ENGINES = ("polars", "duckdb", "dask")
DAYS, K = 60, 100


def questions(n_resamples: int) -> dict[str, Callable[[Evaluation], Any]]:
    """Return what is asked of each engine."""

    def interval(metric: str, **options: Any) -> Callable[[Evaluation], Any]:
        return lambda model: model.bootstrap(metric, n_resamples=n_resamples, k=K, **options)

    return {
        "precision@100": lambda model: model.precision_at_k(K),
        "card precision@100": lambda model: model.card_precision_at_k(K),
        "interval of recall": interval("recall"),
        "interval of the ROC AUC": interval("roc_auc"),
        "the same without bins": interval("roc_auc", score_bins=None),
        "interval of precision@100": interval("precision_at_k"),
        "interval of card precision@100": interval("card_precision_at_k"),
    }


def transactions(rows: int, customers: int) -> pl.DataFrame:
    """Scores of a good model; one customer in fifty is defrauded, for some days."""
    generator = np.random.default_rng(0)
    customer = generator.integers(customers, size=rows)
    day = generator.integers(DAYS, size=rows)
    defrauded = (customer % 50 == 0) & ((day - customer // 50) % DAYS < 5)
    fraud = defrauded & (generator.random(rows) < 0.7)
    logit = generator.normal(-4 + 4 * fraud, 1.5)
    return pl.DataFrame(
        {
            "customer_id": customer,
            "timestamp": np.datetime64("2026-01-01", "us") + day * np.timedelta64(1, "D"),
            "is_fraud": fraud,
            "fraud_probability": 1 / (1 + np.exp(-logit)),
        }
    )


def open_lazily(engine: str, path: Path) -> Any:
    """Open the file with a lazy engine."""
    if engine == "polars":
        return pl.scan_parquet(path)
    if engine == "duckdb":
        import duckdb

        return duckdb.connect().read_parquet(str(path))
    from dask import dataframe as dd

    return dd.read_parquet(path).repartition(npartitions=4)  # type: ignore[attr-defined]


@contextlib.contextmanager
def count_sent() -> Iterator[list[int]]:
    """Yield a list of how many rows of counts each call receives from its engine."""
    sent: list[int] = []
    count = _row_metrics.aggregate_scores

    def counted(*arguments: Any, **options: Any) -> Any:
        counts = count(*arguments, **options)
        sent.append(len(counts))
        return counts

    with patch.object(_row_metrics, "aggregate_scores", counted):
        yield sent


def ask(question: Callable[[Evaluation], Any], model: Evaluation) -> tuple[Any, float, int]:
    """Return the answer, its seconds, and how many rows were sent."""
    with count_sent() as sent:
        start = time.perf_counter()
        return question(model), time.perf_counter() - start, sum(sent)


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, help="Number of transactions.")
@click.option("--customers", default=20_000, show_default=True, help="Number of customers.")
@click.option("--resamples", default=100, show_default=True, help="Resamples of an interval.")
@click.option(
    "--engine", "engines", type=click.Choice(ENGINES), multiple=True, default=ENGINES,
    show_default=True, help="Lazy engine. Repeat as needed.",
)  # fmt: skip
def main(rows: int, customers: int, resamples: int, engines: tuple[str, ...]) -> None:
    """Print the rows that travel, their share, the times, and how far bins move an answer."""
    frame = transactions(rows, customers)
    table = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        frame.write_parquet(path)
        in_memory = evaluate(frame)
        models = {engine: evaluate(open_lazily(engine, path)) for engine in engines}
        for name, question in questions(resamples).items():
            expected, seconds, _ = ask(question, in_memory)
            for engine, model in models.items():
                answer, lazily, sent = ask(question, model)
                if not np.isclose(answer.value, expected.value, rtol=1e-9, equal_nan=True):
                    raise click.ClickException(f"{name}: {engine} has another value.")
                off = getattr(answer, "binning_error", 0.0)
                table.append(
                    [
                        name,
                        engine,
                        f"{sent:,}",
                        f"{sent / rows:.2%}",
                        f"{seconds:.1f}",
                        f"{lazily:.1f}",
                        f"{lazily / seconds:.1f}",
                        f"{off:.2g}",
                    ]
                )
    columns = ["", "engine", "rows sent", "share", "s in memory", "s", "times as long", "off by"]
    print_markdown([columns, ["---"] * len(columns), *table])


if __name__ == "__main__":
    main()
