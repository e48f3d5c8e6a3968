"""The steps of ``synfin demo``, each a function of what the steps before it made."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from sqlalchemy import text

from synfin_analytics._core.formatting import format_date, format_percent, pluralize
from synfin_analytics.baseline import FEATURES, BaselineModel, fit_baseline
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.exceptions import ArgumentError, RejectedLabelsWarning
from synfin_analytics.io._sources import open_source
from synfin_analytics.io.layouts import detect_layout, read_layout
from synfin_analytics.io.layouts.known import layout_named
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.reports import FraudReport, ModelReport, fraud_report, model_report
from synfin_analytics.reports._figures import fraud_rate_image
from synfin_analytics.repositories import (
    CustomerRepository,
    MerchantRepository,
)
from synfin_analytics.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics.io.load.report import LoadReport

#: Name of the demo's own database: the user's is never touched.
DATABASE = "synfin_demo"


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
    known = detect_layout(names)
    if known is None:
        return {}
    mapping: dict[str, str | None] = dict.fromkeys(names)
    for target, source in layout_named(known).transactions.items():
        if isinstance(source, str) and mapping[source] is None:
            mapping[source] = target
    return mapping


def load_file(
    manager: DatabaseManager,
    file: Path,
    columns: Mapping[str, str | None],
    reading: ReadOptions,
) -> LoadReport:
    """Load the good rows of a file of transactions; make the customers and merchants they name."""
    known = detect_layout(open_source(file, 1, reading).names)
    if known is not None and not columns:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RejectedLabelsWarning)  # the report says it
            tables = read_layout(file, known, **reading.given())
            return tables.load(on_invalid="reject", manager=manager)["transactions"]
    return load_df(
        file,
        "transactions",
        columns=columns,
        on_invalid="reject",
        on_missing_parent="create",
        manager=manager,
        **reading.given(),
    )


def load_simulation(manager: DatabaseManager, customers: int, days: int, seed: int) -> LoadReport:
    """Simulate customers, merchants and transactions, and load all three."""
    world = simulate(customers, max(customers * 2 // 5, 5), days, seed, output="polars")
    load_df(world.customers, "customers", manager=manager)
    load_df(world.merchants, "merchants", manager=manager)
    return load_df(world.transactions, "transactions", manager=manager)


def read(manager: DatabaseManager) -> pl.DataFrame:
    """Read what a model needs of all transactions."""
    return read_df(
        "SELECT transaction_id, customer_id, merchant_id, timestamp, amount, is_fraud "
        "FROM transactions",
        manager=manager,
        output="polars",
    )


def count(manager: DatabaseManager, source: str, notes: Sequence[str]) -> FraudReport:
    """Bring the statistics of customers and merchants up to date, and report how much fraud is."""
    with manager.session_scope() as session:
        CustomerRepository(session).update_transaction_stats()
        MerchantRepository(session).update_transaction_stats()
        return fraud_report(session=session, source=source, notes=notes)


def evaluate(manager: DatabaseManager, transactions: pl.DataFrame) -> ModelReport | str:
    """Score the transactions, store the predictions, and report how good they are.

    Returns
    -------
    ModelReport or str
        The report, or why there is no model.
    """
    if not transactions["is_fraud"].sum():
        return "No fraud is known among these transactions: there is nothing to learn from."
    try:
        model = fit_baseline(transactions)
    except ArgumentError as error:
        return f"There is no model: {error}"
    load_df(model.predictions, "model_predictions", manager=manager)
    with manager.session_scope() as session:
        return model_report(model.name, model.version, session=session, notes=tuple(_origin(model)))


def _origin(model: BaselineModel) -> Iterator[str]:
    yield (
        f"{model.name} {model.version} is a logistic regression of {len(FEATURES)} things that are "
        f"known at the moment of a payment: {', '.join(FEATURES.values())}. It is a yardstick, not "
        "a model to work with."
    )
    yield (
        f"It learnt from {pluralize(model.n_train, 'payment')} until "
        f"{format_date(model.train_end)}, {pluralize(model.n_train_frauds, 'fraud')} among them."
    )
    yield (
        f"An alarm is a score of at least {format_percent(model.threshold)}: where F1 was best on "
        f"those payments. The numbers here are of payments from {format_date(model.test_start)} "
        "on, none of which it had seen; what lies between is left out, since labels take days to "
        "arrive."
    )


def write_files(overview: FraudReport, folder: Path) -> list[Path]:
    """Write the pages and the pictures, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"over time": overview.over_time} | {
        f"by {what}": result for what, result in overview.rates.items()
    }
    written = [overview.save(folder / "overview.html")]
    if isinstance(overview.model, ModelReport):
        written.append(overview.model.save(folder / "model_report.html"))
    for what, result in pictures.items():
        name = what.partition(" (")[0].replace(" ", "_")
        path = folder / f"fraud_rate_{name}.png"
        path.write_bytes(fraud_rate_image(result, f"Fraud rate {what}"))
        written.append(path)
    return written
