"""The same fraud rates and the same evaluation in PostgreSQL, on Dask and on Spark.

Export `transactions` and `model_predictions` of the configured database to partitioned Parquet,
run the same analyses on all three, and compare their results:

    python docs/on_clusters.py FOLDER

docs/guide/distributed.md explains it step by step.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import polars as pl
from polars.testing import assert_frame_equal
from sklearn.tree import DecisionTreeClassifier

from synfin_analytics import (
    DatabaseManager,
    ModelPredictionRepository,
    TransactionRepository,
    detect_patterns,
    evaluate,
    fraud_rate,
    read_df,
    score,
    time_split,
)
from synfin_analytics._core.formatting import pluralize
from synfin_analytics.cli import main as synfin
from synfin_analytics.exceptions import MissingDependencyError, SynfinError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    Answers = dict[str, pd.DataFrame]

#: Exported tables and the time columns that partition them.
EXPORTED = {"transactions": "timestamp", "model_predictions": "predicted_at"}
#: Features of a model that is fitted here, for the example of scores.
FEATURES = ["amount", "latitude", "longitude"]
#: Columns of the transactions that an evaluation needs in addition to the predictions.
OF_A_PAYMENT = ["transaction_id", "customer_id", "timestamp", "channel"]


def ask(rate: Callable[..., Any], judge: Callable[..., Any]) -> Answers:
    """Run the same analyses on any engine."""
    evaluation = judge()
    cards = evaluation.card_precision_at_k(5)
    interval = evaluation.bootstrap("roc_auc", n_resamples=100)
    return {
        "fraud rate": rate(),
        "fraud rate by channel": rate(by="channel"),
        "fraud rate by amount": rate(bins={"amount": [10, 50, 200]}),
        "fraud rate by week and merchant category": rate(by="merchant_category", every="1w"),
        "model": evaluation.summary(),
        "precision and recall": evaluation.curve(points=20),
        "model by channel": judge(by="channel").by_group,
        "5 cards a day": cards.daily,
        "interval of the ROC AUC": interval.to_frame(),
    }


def score_and_search(transactions: Any, model: Any) -> Answers:
    """Score the transactions of any engine with a model of scikit-learn, and search patterns."""
    scored = score(transactions, model, column="p")
    evaluation = evaluate(scored, label="is_fraud", score="p")
    patterns = detect_patterns(transactions)
    return {"scores of a tree": evaluation.summary(), "patterns of fraud": patterns.to_frame()}


def split_by_time(transactions: Any) -> Answers:
    """Split the transactions of any engine into a training and a test set."""
    split = time_split(
        transactions,
        train="30d",
        label_delay="7d",
        test="7d",
        label_available_at="label_available_at",
    )
    return {"split by time": split.to_frame()}


def in_postgresql(name: str, version: str, model: Any) -> Answers:
    """Compute inside PostgreSQL; scores of a model of scikit-learn and patterns in memory."""
    with contextlib.closing(DatabaseManager()) as manager, manager.get_session() as session:
        answers = ask(
            TransactionRepository(session).fraud_rate,
            partial(ModelPredictionRepository(session).evaluate, name, version),
        )
        transactions = read_df("transactions", session=session, output="polars")
        return answers | score_and_search(transactions, model) | split_by_time(transactions)


def on_dask(folder: Path, name: str, version: str, model: Any) -> Answers:
    """Compute on a Dask cluster of two local workers."""
    from dask import dataframe as dd
    from dask.distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster),
    ):
        transactions = dd.read_parquet(folder / "transactions")
        predictions = dd.read_parquet(folder / "model_predictions")

        of_model = (predictions.model_name == name) & (predictions.model_version == version)
        scores = predictions[of_model][["transaction_id", "ground_truth", "fraud_probability"]]
        scored = scores.merge(transactions[OF_A_PAYMENT], on="transaction_id")

        answers = ask(
            partial(fraud_rate, transactions),
            partial(evaluate, scored, label="ground_truth", score="fraud_probability"),
        )
        return answers | score_and_search(transactions, model) | split_by_time(transactions)


def on_spark(folder: Path, name: str, version: str, model: Any) -> Answers:
    """Compute on a local Spark with two threads."""
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")  # otherwise Spark looks for a network
    # Results leave Spark as Arrow, so the version of pandas does not matter.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    from pyspark.sql import SparkSession

    with tempfile.TemporaryDirectory() as scratch:
        builder = SparkSession.builder.master("local[2]")
        settings = {
            "spark.sql.session.timeZone": "UTC",  # periods are counted in UTC
            "spark.sql.shuffle.partitions": "2",
            "spark.local.dir": scratch,
            "spark.log.level": "ERROR",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
        spark = builder.config(map=settings).getOrCreate()
        try:
            transactions = spark.read.parquet(str(folder / "transactions"))
            predictions = spark.read.parquet(str(folder / "model_predictions"))

            of_model = (predictions.model_name == name) & (predictions.model_version == version)
            scores = predictions.where(of_model).select(
                "transaction_id", "ground_truth", "fraud_probability"
            )
            scored = scores.join(transactions.select(OF_A_PAYMENT), "transaction_id")

            answers = ask(
                partial(fraud_rate, transactions),
                partial(evaluate, scored, label="ground_truth", score="fraud_probability"),
            )
            return answers | score_and_search(transactions, model) | split_by_time(transactions)
        finally:
            spark.stop()


ENGINES = {"dask": on_dask, "spark": on_spark}


def differs(expected: pd.DataFrame, answer: pd.DataFrame) -> str:
    """Describe where two answers differ; empty if they are equal.

    Counts must be equal. Sums of money must agree to 9 digits: PostgreSQL adds decimals, the other
    engines add doubles in any order.
    """
    try:
        frames = (pl.from_pandas(frame.reset_index(drop=True)) for frame in (expected, answer))
        assert_frame_equal(*frames, check_dtypes=False, rel_tol=1e-9)
    except AssertionError as error:
        return str(error)
    return ""


def check(engine: str) -> None:
    """Raise an error if a requirement of an engine is missing."""
    package = {"dask": "distributed", "spark": "pyspark"}[engine]
    if importlib.util.find_spec(package) is None:
        raise MissingDependencyError(package, engine, "This example")
    if engine == "spark" and shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise click.ClickException(
            "Spark needs Java 17 or newer: apt-get install default-jre-headless (Debian, Ubuntu), "
            "brew install openjdk (macOS)."
        )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--model", default="baseline", show_default=True, help="Name of a model.")
@click.option("--version", default="1.0", show_default=True, help="Its version.")
@click.option(
    "--engine",
    "engines",
    type=click.Choice(list(ENGINES)),
    multiple=True,
    default=list(ENGINES),
    show_default=True,
    help="Engine to run. Repeat as needed.",
)
def main(folder: Path, model: str, version: str, engines: tuple[str, ...]) -> None:
    """Export missing tables to FOLDER, run the analyses on each engine, and compare."""
    try:
        for engine in engines:
            check(engine)
        folder.mkdir(parents=True, exist_ok=True)
        for table, moment in EXPORTED.items():
            if not (folder / table).exists():
                by_month = ["--partition-by", "month", "--time-column", moment]
                synfin(["export", table, str(folder / table), *by_month], standalone_mode=False)

        sample = read_df("SELECT * FROM transactions WHERE is_fraud IS NOT NULL", output="polars")
        features = sample.select(pl.col(FEATURES).cast(pl.Float64)).to_pandas()
        tree = DecisionTreeClassifier(max_depth=5, random_state=1).fit(features, sample["is_fraud"])

        expected = in_postgresql(model, version, tree)
        wrong = 0
        for engine in engines:
            answers = ENGINES[engine](folder, model, version, tree)
            click.echo(f"{engine}:")
            for question, answer in expected.items():
                difference = differs(answer, answers[question])
                wrong += bool(difference)
                outcome = f"differs from PostgreSQL's\n{difference}" if difference else "equal"
                click.echo(f"  {question} ({pluralize(len(answer), 'row')}): {outcome}")
    except SynfinError as error:
        raise click.ClickException(str(error)) from error
    if wrong:
        raise click.ClickException(f"{wrong} answers differ.")


if __name__ == "__main__":
    main()
