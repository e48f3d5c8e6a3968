"""What each public function of frames leaves to each engine: measured, and written as a table."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.dataframe as dd
import duckdb
import polars as pl
from collected import Collected, count_collected, is_lazy
from engines import without_pandas_warning
from sklearn.linear_model import LogisticRegression

import synfin_analytics as sa

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "engines.md"
BEGIN, END = "<!-- table: python docs/engines.py -->\n\n", "\n<!-- end of the table -->\n"
#: Engines whose frames are not in memory, and how the page names them.
ENGINES = {
    "polars": "polars LazyFrame",
    "duckdb": "DuckDB",
    "dask": "Dask",
    "spark": "PySpark",
}
#: Share of the rows from which on a function collects.
COLLECTS = 0.5
N_FILES = 5


@functools.cache
def world() -> sa.Simulation[pl.DataFrame]:
    """Return a simulated world whose transactions have two scores of three digits."""
    world = sa.simulate(customers=450, merchants=120, days=60, seed=11, output="polars")
    noise = pl.int_range(pl.len()).hash(seed=1) % 1000
    fraud = pl.col("is_fraud").cast(pl.Float64)
    return world._replace(
        transactions=world.transactions.with_columns(
            (noise / 1000 * 0.7 + fraud * 0.3).round(3).alias("fraud_probability"),
            (noise.reverse() / 1000 * 0.8 + fraud * 0.2).round(3).alias("other_probability"),
        )
    )


def write_files(folder: Path) -> Path:
    """Write the transactions to Parquet files of the same size."""
    frame = world().transactions
    size = -(-len(frame) // N_FILES)
    for number in range(N_FILES):
        frame[number * size : (number + 1) * size].write_parquet(
            folder / f"{number}.parquet", row_group_size=size // 4
        )
    return folder


def open_files(engine: str, folder: Path, spark: SparkSession) -> Any:
    """Open Parquet files with an engine."""
    if engine == "polars":
        return pl.scan_parquet(folder / "*.parquet")
    if engine == "duckdb":
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        return connection.read_parquet(str(folder / "*.parquet"))
    if engine == "dask":
        # pandas warns where Dask reads Parquet.
        return dd.from_pandas(world().transactions.to_pandas(), npartitions=N_FILES, sort=False)
    with without_pandas_warning():
        return spark.read.parquet(str(folder))


@dataclass(frozen=True)
class Place:
    """What calls need besides the frame: a new folder, and a database with the parent tables."""

    folder: Path
    manager: sa.DatabaseManager


@dataclass(frozen=True)
class Call:
    """A call of a public function.

    Parameters
    ----------
    run
        Calls it with a frame.
    note
        What reaches the client, and why it must where that is every row.
    """

    run: Callable[[Any, Place], Any]
    note: str


_OWN = "nothing is computed until you compute the result"
_GROUPS = "a row for each group"
_SCORES = "a row for each distinct score"
_FEATURES = (
    "nothing of Dask and PySpark; of the others all rows, because their results are in memory "
    "(`output` avoids that)"
)
_PATTERNS = (
    "what detectors find on the workers of Dask and PySpark; of the others all rows, because "
    "detectors compute with NumPy"
)

_LAYOUT = {
    name: name
    for name in ("transaction_id", "customer_id", "merchant_id", "amount", "timestamp", "is_fraud")
}
#: Columns that are no columns of ``transactions``.
_SCORED = dict.fromkeys(("fraud_probability", "other_probability"))

#: Calls by what the page names them: the public function first.
CALLS: dict[str, Call] = {
    "fraud_rate": Call(lambda df, _: sa.fraud_rate(df, by="channel"), _GROUPS),
    "evaluate": Call(lambda df, _: sa.evaluate(df), _SCORES),
    "evaluate → precision_at_k": Call(
        lambda df, _: sa.evaluate(df).precision_at_k(20), "the highest rows of each day"
    ),
    "evaluate → card_precision_at_k": Call(
        lambda df, _: sa.evaluate(df).card_precision_at_k(20),
        "the highest cards of each day, and the days of compromised cards",
    ),
    "evaluate → bootstrap": Call(
        lambda df, _: sa.evaluate(df).bootstrap("recall", n_resamples=50),
        "rows for each cluster",
    ),
    "compare_models": Call(
        lambda df, _: sa.compare_models(
            df, ["fraud_probability", "other_probability"], n_resamples=50
        ),
        (
            "a row for each cluster and bin of scores, because curves depend on the order of all "
            "scores; few customers have more rows than bins"
        ),
    ),
    "evaluate_rules": Call(
        lambda df, _: sa.evaluate_rules(df, {"large": "amount > 200"}),
        "a row for each cluster, day and set of rules that fire",
    ),
    "label_maturity": Call(
        lambda df, _: sa.label_maturity(df), "a row for each cohort and age of its labels"
    ),
    "nowcast_fraud_rate": Call(
        lambda df, _: sa.nowcast_fraud_rate(df), "a row for each cohort and age of its labels"
    ),
    "measure_drift": Call(
        lambda df, _: sa.measure_drift(
            df,
            "fraud_probability",
            reference=("2025-01-01", "2025-02-01"),
            current=("2025-02-01", "2025-03-01"),
        ),
        "a row for each distinct value of a column",
    ),
    "recalibrate": Call(lambda df, _: sa.recalibrate(df, world().transactions.tail(5000)), _SCORES),
    "time_split": Call(
        lambda df, _: sa.time_split(df), "a row for each part of the split; sets stay lazy"
    ),
    "PrequentialSplit.folds": Call(
        lambda df, _: list(sa.PrequentialSplit(3).folds(df))[-1],
        "a row for each fold, and for each combination of parts in them; sets stay lazy",
    ),
    "engineer_features": Call(lambda df, _: sa.engineer_features(df), _FEATURES),
    "engineer_features(output=…)": Call(
        lambda df, place: sa.engineer_features(df, output=place.folder / "features"),
        "batches of rows",
    ),
    "window_features": Call(lambda df, _: sa.window_features(df), _FEATURES),
    "window_features(output=…)": Call(
        lambda df, place: sa.window_features(df, output=place.folder / "features"),
        "batches of rows",
    ),
    "handbook_features": Call(lambda df, _: sa.handbook_features(df), _FEATURES),
    "handbook_features(output=…)": Call(
        lambda df, place: sa.handbook_features(df, output=place.folder / "features"),
        "batches of rows",
    ),
    "detect_patterns": Call(lambda df, _: sa.detect_patterns(df), _PATTERNS),
    "detect_anomalies": Call(lambda df, _: sa.detect_anomalies(df), _PATTERNS),
    "fit_baseline": Call(
        lambda df, _: sa.fit_baseline(df),
        "sums of Dask and PySpark; of the others six columns, because they are fitted in memory",
    ),
    "score": Call(lambda df, _: sa.score(df, _model(), features=["amount"], column="score"), _OWN),
    "fraud_report": Call(
        lambda df, _: sa.fraud_report(
            df,
            label="is_fraud",
            timestamp="timestamp",
            amount="amount",
            customer="customer_id",
            merchant="merchant_id",
            fraud_type="fraud_type",
            label_available_at="label_available_at",
        ),
        (
            "a row for each group, week and merchant, at most 5,000 delays of labels, and 1,000 "
            "cells of columns to group by; all cells if a column has to be parsed"
        ),
    ),
    "model_report": Call(
        lambda df, _: sa.model_report(
            df,
            label="is_fraud",
            score="fraud_probability",
            timestamp="timestamp",
            customer="customer_id",
            n_resamples=50,
        ),
        "several counts, together more than the rows here: for each distinct score, by group too, "
        "and for each customer and bin of scores",
    ),
    "rules_report": Call(
        lambda df, _: sa.rules_report(df, {"large": "amount > 200"}),
        "a row for each cluster, day and set of rules that fire",
    ),
    "load_df": Call(
        lambda df, place: _load(df, place), "batches of rows, on their way to the server"
    ),
    "read_layout": Call(
        lambda df, _: sa.read_layout(df, sa.Layout(_LAYOUT)),
        "nothing of polars; of the others the columns of the layout, which stay in memory",
    ),
    "suggest_columns": Call(
        lambda df, _: sa.suggest_columns(df),
        "10,000 rows, and then the cells of the columns in batches",
    ),
    "show": Call(lambda df, _: sa.show(df), "the rows that are shown"),
}


@functools.cache
def _model() -> LogisticRegression:
    frame = world().transactions
    return LogisticRegression().fit(frame.select("amount").to_numpy(), frame["is_fraud"])


def _load(df: Any, place: Place) -> object:
    with place.manager.session_scope() as session:
        report = sa.load_df(df, "transactions", columns=_SCORED, session=session)
        session.rollback()
    return report


def public_functions() -> set[str]:
    """Return the names of public functions and methods whose first parameter is a frame of rows."""
    functions = set()
    for name in dir(sa):
        value = getattr(sa, name)
        methods = vars(value) if inspect.isclass(value) else {}
        named = {name: value} | {f"{name}.{method}": methods[method] for method in methods}
        functions |= {
            name for name, function in named.items() if _first_parameter(function) == "df"
        }
    return functions


def _first_parameter(function: object) -> str:
    if not inspect.isfunction(function):
        return ""
    names = (name for name in inspect.signature(function).parameters if name != "self")
    return next(names, "")


# -- Measuring and writing -------------------------------------------------------------------------


def measure(call: Call, df: Any, place: Place) -> str:
    """Return ``lazy``, ``distributed``, ``streams``, ``collects`` or ``refuses``."""
    n_rows = len(world().transactions)
    with count_collected() as collected:
        try:
            result = call.run(df, place)
        except sa.SynfinError:
            return "refuses"
    return classify(collected, n_rows, lazy=is_lazy(result))


def classify(collected: Collected, n_rows: int, *, lazy: bool) -> str:
    """Say what happened to ``n_rows`` rows, from what was collected."""
    if collected.largest >= COLLECTS * n_rows:
        return "collects"
    if collected.rows >= COLLECTS * n_rows:
        return "streams"
    return "lazy" if lazy else "distributed"


def table(measured: dict[str, dict[str, str]]) -> str:
    """Return the table of the page, from capabilities by call and engine."""
    lines = [
        f"| | {' | '.join(ENGINES.values())} | what reaches the client |",
        "| --- " * (len(ENGINES) + 2) + "|",
    ]
    for name, call in CALLS.items():
        cells = [measured[name][engine] for engine in ENGINES]
        lines.append(f"| `{name}` | {' | '.join(cells)} | {call.note} |")
    return "\n".join(lines) + "\n"


def replace_table(text: str, new: str) -> str:
    """Return the text of the page with another table between its markers."""
    before, _, following = text.partition(BEGIN)
    _, _, after = following.partition(END)
    return before + BEGIN + new + END + after
