"""Speed of rates, curves and intervals, compared with scikit-learn and pandas.

    python benchmarks/metrics.py all

Peers take turns. Each measurement runs in a separate process, and all results must be equal.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import multiprocessing
import os
import platform
import random
import statistics
from typing import TYPE_CHECKING

import _data
import click
import numpy as np
import polars as pl
from _measure import print_markdown, timed
from _place import open_place
from handbook import data_option, find, store

from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Figures = dict[str, np.ndarray]
    Run = Callable[[], Figures]

FRAUDS, CUSTOMERS = 0.01, 10_000
DRAWS, SAMPLED = 1000, 10
#: Groupings of a fraud rate; in the handbook they have 10,000, 183 and 1,114,582 groups.
RATES = (
    ("merchant", "merchant_id", None),
    ("day", None, "1d"),
    ("merchant and day", "merchant_id", "1d"),
)


@dataclasses.dataclass(frozen=True)
class Job:
    """Number of rows to generate, or the database with the rows."""

    rows: int
    decimals: int | None = None
    url: str = ""
    #: Grouping of a fraud rate.
    by: str | None = None
    every: str | None = None

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Scores and labels, the same in each call."""
        rng = np.random.default_rng(self.rows)
        fraud = rng.random(self.rows) < FRAUDS
        fraud[:2] = True, False
        score = 1 / (1 + np.exp(3 - 2 * fraud - rng.standard_normal(self.rows)))
        return score if self.decimals is None else np.round(score, self.decimals), fraud

    def frame(self) -> pl.DataFrame:
        """Scores, labels and customers in a frame for :func:`evaluate`."""
        score, fraud = self.scores()
        customer = np.random.default_rng(0).integers(0, min(CUSTOMERS, self.rows), self.rows)
        columns = {"fraud_probability": score, "is_fraud": fraud, "customer_id": customer}
        return pl.DataFrame(columns)

    @contextlib.contextmanager
    def manager(self) -> Iterator[DatabaseManager]:
        """Open the database with the rows."""
        manager = DatabaseManager(DatabaseConfig.from_env(environ={"DATABASE_URL": self.url}))
        try:
            yield manager
        finally:
            manager.close()


@dataclasses.dataclass(frozen=True)
class Peer:
    """One implementation; ``prepare`` imports and makes the rows, its result is timed."""

    name: str
    prepare: Callable[[Job], Run]
    #: Factor of its seconds, for a peer that does only a part of the work.
    times: float = 1
    note: str = ""
    #: Whether the others are compared with it.
    ours: bool = False


# -- The curve ------------------------------------------------------------------------------------


def counts_and_curve(job: Job) -> Run:
    from synfin_analytics.metrics._score_counts import ScoreCounts
    from synfin_analytics.metrics.curve import Curve

    score, fraud = job.scores()

    def run() -> Figures:
        curve = Curve(ScoreCounts.from_arrays(score, fraud))
        return {
            "areas": np.array([curve.roc_auc, curve.average_precision]),
            "precision": curve.tp / curve.alerts,
            "recall": curve.tp / curve.n_frauds,
        }

    return run


def evaluation(job: Job) -> Run:
    from synfin_analytics.metrics import evaluate

    frame = job.frame()

    def run() -> Figures:
        result = evaluate(frame)
        curve = result.curve()
        return {
            "areas": np.array([result.roc_auc, result.average_precision]),
            "precision": curve["precision"].to_numpy()[1:],
            "recall": curve["recall"].to_numpy()[1:],
        }

    return run


def sklearn_curve(job: Job) -> Run:
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

    score, fraud = job.scores()

    def run() -> Figures:
        precision, recall, _ = precision_recall_curve(fraud, score)
        areas = [roc_auc_score(fraud, score), average_precision_score(fraud, score)]
        # Thresholds rise, and there are no alerts at the last point.
        return {
            "areas": np.array(areas),
            "precision": precision[-2::-1],
            "recall": recall[-2::-1],
        }

    return run


# -- The bootstrap --------------------------------------------------------------------------------


def bootstrap(job: Job) -> Run:
    from synfin_analytics.metrics import evaluate

    evaluation_ = evaluate(job.frame())
    return lambda: {
        "draws": evaluation_.bootstrap("roc_auc", n_resamples=DRAWS).distribution[:SAMPLED]
    }


def sklearn_draws(job: Job) -> Run:
    from sklearn.metrics import roc_auc_score

    from synfin_analytics.metrics._resampling import draw_weights

    frame = job.frame()
    score, fraud = frame["fraud_probability"].to_numpy(), frame["is_fraud"].to_numpy()
    names, codes = np.unique(frame["customer_id"].to_numpy(), return_inverse=True)

    def run() -> Figures:
        drawn = draw_weights(len(names), SAMPLED, 0, 1)
        areas = [roc_auc_score(fraud, score, sample_weight=weights[codes, 0]) for weights in drawn]
        return {"draws": np.array(areas)}

    return run


# -- The fraud rate -------------------------------------------------------------------------------


def fraud_rate(cluster: str | None) -> Callable[[Job], Run]:
    def prepare(job: Job) -> Run:
        import statsmodels.stats.proportion  # noqa: F401 - imported by the first interval

        from synfin_analytics.repositories.transactions import TransactionRepository

        def run() -> Figures:
            with job.manager() as manager, manager.get_session() as session:
                result = TransactionRepository(session).fraud_rate(
                    by=job.by, every=job.every, cluster=cluster
                )
            return {name: result[name].to_numpy(float) for name in ("transactions", "fraud_rate")}

        return run

    return prepare


def read_sql(columns: str) -> Callable[[Job], Run]:
    def prepare(job: Job) -> Run:
        import pandas as pd
        from sqlalchemy import create_engine

        engine = create_engine(job.url.replace("postgresql:", "postgresql+psycopg2:", 1))

        def run() -> Figures:
            rows = pd.read_sql(f"SELECT {columns} FROM transactions", engine)
            if job.every:
                rows["day"] = rows["timestamp"].dt.floor("D")
            rows["is_fraud"] = rows["is_fraud"].astype(float)
            rows["amount"] = rows["amount"].astype(float)
            rows["fraud_amount"] = rows["amount"] * rows["is_fraud"]
            keys = [key for key in (job.by, job.every and "day") if key]
            result = rows.groupby(keys).agg(
                transactions=("is_fraud", "size"),
                fraud_rate=("is_fraud", "mean"),
                amount=("amount", "sum"),
                fraud_amount=("fraud_amount", "sum"),
            )
            return {name: result[name].to_numpy(float) for name in ("transactions", "fraud_rate")}

        return run

    return prepare


# -- Peers ----------------------------------------------------------------------------------------

GROUPS: dict[str, list[Peer]] = {
    "curve": [
        Peer("ScoreCounts and Curve", counts_and_curve, note="precision and recall", ours=True),
        Peer(
            "evaluate(polars) and curve()",
            evaluation,
            note="the curve has ten columns",
            ours=True,
        ),
        Peer("scikit-learn", sklearn_curve, note="precision_recall_curve and both areas"),
    ],
    "bootstrap": [
        Peer("bootstrap", bootstrap, note=f"{DRAWS:,} draws", ours=True),
        Peer(
            "scikit-learn in a loop",
            sklearn_draws,
            times=DRAWS / SAMPLED,
            note=f"{SAMPLED} draws measured, and scaled to {DRAWS:,}",
        ),
    ],
    "rate": [
        Peer(
            "fraud_rate in PostgreSQL",
            fraud_rate("auto"),
            note="intervals by customer and merchant",
            ours=True,
        ),
        Peer(
            "fraud_rate, cluster=None",
            fraud_rate(None),
            note="intervals of independent transactions",
            ours=True,
        ),
        Peer(
            "read_sql, four columns, groupby",
            read_sql("merchant_id, timestamp, amount, is_fraud"),
            note="no intervals",
        ),
        Peer("read_sql, the table, groupby", read_sql("*"), note="no intervals"),
    ],
}


def once(group: str, name: str, job: Job) -> tuple[Figures, float, float]:
    """Return the figures of a peer, its seconds and its MB."""
    peer = next(candidate for candidate in GROUPS[group] if candidate.name == name)
    figures, seconds, megabytes = timed(peer.prepare(job))
    return figures, seconds * peer.times, megabytes


def compare(title: str, group: str, job: Job, repeat: int, *, apart: bool) -> None:
    """Run the peers in turns, in a random order each time, and print a comparison."""
    peers = GROUPS[group]
    results: dict[str, list[tuple[float, float]]] = {peer.name: [] for peer in peers}
    first: Figures = {}
    spawn = multiprocessing.get_context("spawn")
    for turn in range(repeat):
        for peer in random.Random(turn).sample(peers, len(peers)):
            click.echo(f"{title} {turn + 1}/{repeat}: {peer.name} ", err=True, nl=False)
            if apart:
                with concurrent.futures.ProcessPoolExecutor(1, spawn) as process:
                    figures, *measured = process.submit(once, group, peer.name, job).result()
            else:
                figures, *measured = once(group, peer.name, job)
            click.echo(f"{measured[0]:.2f} s", err=True)
            results[peer.name].append((measured[0], measured[1]))
            first = first or figures
            for name, values in figures.items():
                if not np.allclose(values, first[name], rtol=0, atol=1e-12, equal_nan=True):
                    raise click.ClickException(
                        f"{title}: {peer.name} has different values of {name}."
                    )
    click.echo(f"\n### {title}: {job.rows:,} rows, median of {repeat}; equal to 1e-12\n")
    ours = [peer.name for peer in peers if peer.ours]
    lines = [["", "seconds", *(f"times as long as {name}" for name in ours), "peak MB", ""]]
    lines.append(["---", *["---:"] * (len(lines[0]) - 2), "---"])
    for peer in peers:
        runs = results[peer.name]
        ratios = [
            statistics.median(a / b for (a, _), (b, _) in zip(runs, results[name], strict=True))
            for name in ours
        ]
        lines.append(
            [
                peer.name,
                f"{statistics.median(seconds for seconds, _ in runs):.2f}",
                *(f"{ratio:.1f}" for ratio in ratios),
                f"{max(megabytes for _, megabytes in runs):.0f}",
                peer.note,
            ]
        )
    print_markdown(lines)


def rate(data: Path, rows: int, repeat: int, *, apart: bool) -> None:
    """Compare fraud rates of the handbook's transactions, or of generated rows."""
    files = find(data)
    frames: dict[str, object] = {}
    if not files:
        click.echo(f"No handbook/transactions.parquet in {data}: rows are generated.")
        frames = {
            **_data.parents(),
            "transactions": pl.concat(_data.Rows(rows, few_columns=True).frames()),
        }
    with open_place() as place, place.prepared("rate", frames) as name:
        url = place.url(name)
        if files:
            with Job(0, url=url).manager() as manager:
                store(files[0], manager)
        click.echo(place.server)
        count = place.count(url)
        for title, by, every in RATES:
            job = Job(count, url=url, by=by, every=every)
            title += ", handbook" if files else ", generated"
            compare(f"fraud rate by {title}", "rate", job, repeat, apart=apart)


@click.command()
@click.argument("selection", type=click.Choice([*GROUPS, "all"]))
@click.option(
    "--rows",
    default=10_000_000,
    show_default=True,
    type=click.IntRange(min=20),
    help="Scores of the curve. The bootstrap and generated transactions have a tenth of them.",
)
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(min=1))
@data_option
@click.option("--one-process", is_flag=True, help="Quick, but the memory is only an estimate.")
def main(selection: str, rows: int, repeat: int, data: Path, one_process: bool) -> None:
    """Measure curves, bootstraps and fraud rates, compared with scikit-learn and pandas."""
    apart = not one_process
    click.echo(f"Python {platform.python_version()}; {platform.machine()}; {os.cpu_count()} cores")
    if selection in ("curve", "all"):
        compare("curve, distinct scores", "curve", Job(rows), repeat, apart=apart)
        compare("curve, four decimals", "curve", Job(rows, decimals=4), repeat, apart=apart)
    if selection in ("bootstrap", "all"):
        compare("bootstrap of the AUC", "bootstrap", Job(rows // 10), repeat, apart=apart)
    if selection in ("rate", "all"):
        rate(data, rows // 10, repeat, apart=apart)


if __name__ == "__main__":
    main()
