"""The steps of ``synfin demo``, each a function of what the steps before it made."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl
from sqlalchemy import text

from synfin_analytics.config import DatabaseConfig
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.frames.load import load_df
from synfin_analytics.frames.read import read_df
from synfin_analytics.frames.sources import open_source
from synfin_analytics.manager import DatabaseManager
from synfin_analytics.metrics import fraud_rate
from synfin_analytics.readers import read_layout, recognise
from synfin_analytics.readers.known import layout_named
from synfin_analytics.reports import ModelFacts, Overview
from synfin_analytics.reports.pictures import fraud_rate_image
from synfin_analytics.repositories import (
    CustomerRepository,
    MerchantRepository,
    ModelPredictionRepository,
    TransactionRepository,
)
from synfin_analytics.scoring import FEATURES, ScoredModel, score_transactions
from synfin_analytics.simulation import simulate
from synfin_analytics.wording import day, percent, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from synfin_analytics.frames.report import LoadReport

#: Name of the demo's own database: the user's is never touched.
DATABASE = "synfin_demo"

#: Groups that may be worth comparing, and how each is called; the first few with data are shown.
_GROUPS = {
    "channel": "channel",
    "merchant_category": "merchant category",
    "entry_mode": "entry mode",
    "country": "country",
    "time_of_day_category": "time of day (UTC)",
    "day_of_week": "day of the week (0 = Monday)",
    "hour_of_day": "hour of the day (UTC)",
}
_MOST_GROUPINGS = 2
_BANDS = (10, 25, 50, 100, 200)
_FEWEST, _MOST = 2, 30


def open_database() -> DatabaseManager:
    """Create the demo's database anew on the embedded server, with empty tables."""
    folder = os.environ.get("DB_DATA_DIR") or None
    admin = DatabaseManager(DatabaseConfig(database="postgres", data_dir=folder))
    try:
        with admin.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))
        manager = DatabaseManager(DatabaseConfig(database=DATABASE, data_dir=folder))
        manager.create_all_tables()
    finally:
        admin.close()
    return manager


def layout_of(names: list[str]) -> dict[str, str | None]:
    """Column mapping of a file whose column names are known; empty for any other."""
    known = recognise(names)
    if known is None:
        return {}
    mapping: dict[str, str | None] = dict.fromkeys(names)
    for target, source in layout_named(known).transactions.items():
        if isinstance(source, str) and mapping[source] is None:
            mapping[source] = target
    return mapping


def load_file(
    manager: DatabaseManager, file: Path, columns: Mapping[str, str | None]
) -> LoadReport:
    """Load the good rows of a file of transactions; make the customers and merchants they name."""
    known = recognise(open_source(file, 1).names)
    if known is not None and not columns:
        return read_layout(file, known).load(manager=manager)["transactions"]
    return load_df(
        file,
        "transactions",
        columns=columns,
        on_invalid="reject",
        on_missing_parent="create",
        manager=manager,
    )


def load_simulation(manager: DatabaseManager, customers: int, days: int, seed: int) -> LoadReport:
    """Simulate customers, merchants and transactions, and load all three."""
    world = simulate(customers, max(customers * 2 // 5, 5), days, seed, frame="polars")
    load_df(world.customers, "customers", manager=manager)
    load_df(world.merchants, "merchants", manager=manager)
    return load_df(world.transactions, "transactions", manager=manager)


def read(manager: DatabaseManager) -> pl.DataFrame:
    """Read what a model needs of all transactions."""
    return read_df(  # type: ignore[return-value]  # a frame of polars, as it asks for
        "SELECT transaction_id, customer_id, merchant_id, timestamp, amount, is_fraud "
        "FROM transactions",
        manager=manager,
        frame="polars",
    )


def count(manager: DatabaseManager, transactions: pl.DataFrame) -> dict[str, Any]:
    """Bring the statistics of customers and merchants up to date, and count fraud rates.

    Most are counted inside PostgreSQL; that by amount here, from the transactions that were read.

    Returns
    -------
    dict
        What an :class:`Overview` needs of the transactions.
    """
    with manager.session_scope() as session:
        CustomerRepository(session).update_transaction_stats()
        MerchantRepository(session).update_transaction_stats()
        repository = TransactionRepository(session, frame="polars")
        statistics = repository.get_statistics()
        if not statistics["total_count"]:
            raise ArgumentError("No transaction was loaded: there is nothing to show.")
        first, last, currencies, currency = session.execute(
            text(
                "SELECT min(timestamp), max(timestamp), count(DISTINCT currency), min(currency) "
                "FROM transactions"
            )
        ).one()
        return {
            "statistics": statistics,
            "first": first,
            "last": last,
            "currency": currency if currencies == 1 else "",
            "rates": dict(_rates(repository))
            | {"amount": fraud_rate(transactions.with_columns(_band()), by="band")},
            "over_time": repository.fraud_rate(every=_period((last - first).days)),
        }


def _rates(transactions: TransactionRepository) -> Iterator[tuple[str, pl.DataFrame]]:
    left = _MOST_GROUPINGS
    for column, title in _GROUPS.items():
        if not left:
            return
        result = transactions.fraud_rate(by=column)
        if _FEWEST <= len(result) <= _MOST:
            left -= 1
            yield title, result


def _band() -> pl.Expr:
    """Band of the amount, in the order of the amounts."""
    names = [
        f"below {_BANDS[0]}",
        *(f"{low} to {high}" for low, high in pairwise(_BANDS)),
        f"from {_BANDS[-1]}",
    ]
    band = pl.lit(names[0])
    for edge, name in zip(_BANDS, names[1:], strict=True):
        band = pl.when(pl.col("amount") >= edge).then(pl.lit(name)).otherwise(band)
    return band.cast(pl.Enum(names)).alias("band")


def _period(days: int) -> str:
    return "1mo" if days > 730 else "1w" if days > 60 else "1d"


def evaluate(manager: DatabaseManager, transactions: pl.DataFrame) -> ModelFacts | str:
    """Score the transactions, store the predictions, and count how good they are.

    Returns
    -------
    ModelFacts or str
        What is told of the model, or why there is none.
    """
    if not transactions["is_fraud"].sum():
        return "No fraud is known among these transactions: there is nothing to learn from."
    try:
        model = score_transactions(transactions)
    except ArgumentError as error:
        return f"There is no model: {error}"
    load_df(model.predictions, "model_predictions", manager=manager)
    with manager.session_scope() as session:
        predictions = ModelPredictionRepository(session)
        performance = predictions.get_model_performance(model.name, model.version)
        return ModelFacts(
            model.name,
            model.version,
            predictions.confusion(model.name, model.version),
            performance["without_ground_truth"],
            tuple(_origin(model)),
        )


def _origin(model: ScoredModel) -> Iterator[str]:
    yield (
        f"{model.name} {model.version} is a logistic regression of {len(FEATURES)} things that are "
        f"known at the moment of a payment: {', '.join(FEATURES.values())}. It is a yardstick, not "
        "a model to work with."
    )
    yield (
        f"It learnt from {plural(model.learnt_rows, 'payment')} until {day(model.learnt_until)}, "
        f"{plural(model.learnt_frauds, 'fraud')} among them."
    )
    yield (
        f"An alarm is a score of at least {percent(model.threshold)}: where F1 was best on those "
        f"payments. The numbers here are of payments from {day(model.tested_from)} on, none of "
        "which it had seen; what lies between is left out, since labels take days to arrive."
    )


def write_files(overview: Overview, folder: Path) -> list[Path]:
    """Write the pictures and the page, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"over time": overview.over_time} | {
        f"by {title}": result for title, result in overview.rates.items()
    }
    written = []
    for what, result in pictures.items():
        name = what.partition(" (")[0].replace(" ", "_")
        path = folder / f"fraud_rate_{name}.png"
        path.write_bytes(fraud_rate_image(result, f"Fraud rate {what}"))
        written.append(path)
    return [overview.save(folder / "overview.html"), *written]
