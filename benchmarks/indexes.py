"""Queries of transactions with and without the indexes that were made for them.

    python benchmarks/indexes.py                    # a million transactions
    python benchmarks/indexes.py --rows 100000 --rounds 3

Calls of the repository on simulated transactions of an embedded server, with the index of anomalies
by time and those on the amount and of frauds, which `synfin db profile` creates; and in turns
without them, in a transaction that drops them and is rolled back. Milliseconds are those of the
processors, of client and server, so that other work on the machine matters little.
"""

from __future__ import annotations

import logging
import statistics
import time
from typing import TYPE_CHECKING, Any

import click
from _measure import print_markdown
from _place import own_folder, server_seconds
from report_database import spread
from sqlalchemy import text

from synfin_analytics import (
    TransactionRepository,
    apply_index_change,
    get_db_manager,
    get_db_session,
    load_df,
    profile_database,
    simulate,
)
from synfin_analytics.database.models import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
    from sqlalchemy.orm import Session

    Call = Callable[[TransactionRepository[pl.DataFrame]], pl.DataFrame]

AMOUNT = "ix_transactions_amount"
FRAUD, ANOMALY = "ix_transactions_timestamp_fraud", "ix_transactions_timestamp_anomaly"
DAYS = 120
#: The last month of the simulation.
MONTH = ("2025-04-01", "2025-04-30")
LARGE = 2_000
CALLS: dict[str, Call] = {
    "list(order_by=Transaction.amount.desc(), limit=10)": lambda table: table.list(
        order_by=Transaction.amount.desc(), limit=10
    ),
    f"get_high_value_transactions({LARGE})": lambda table: table.get_high_value_transactions(LARGE),
    "get_fraud_transactions()": lambda table: table.get_fraud_transactions(),
    "get_fraud_transactions(), a month": lambda table: table.get_fraud_transactions(*MONTH),
    "get_fraud_transactions(limit=100)": lambda table: table.get_fraud_transactions(limit=100),
    "get_anomaly_transactions()": lambda table: table.get_anomaly_transactions(),
    "get_anomaly_transactions(), a month": lambda table: table.get_anomaly_transactions(*MONTH),
    "get_anomaly_transactions(limit=100)": lambda table: table.get_anomaly_transactions(limit=100),
}
ENTRIES = text("""
    SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes
    WHERE indexrelname = ANY(:names) ORDER BY 1
""")


def fill(rows: int) -> int:
    """Load transactions and create the optional indexes; return the number of rows."""
    manager = get_db_manager()
    manager.create_all_tables()
    customers = max(rows * 17 // (16 * DAYS), 50)
    world = simulate(customers, max(20, customers // 8), DAYS, seed=0, output="polars")
    for table in ("customers", "merchants", "transactions"):
        load_df(world.to_dict()[table], table, progress=False)
    for change in profile_database(manager).changes:
        if change.index in {AMOUNT, FRAUD}:
            apply_index_change(manager, change)
    with manager.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))
    return len(world.transactions)


def entries(session: Session) -> dict[str, int]:
    """Return the entries read of each index, which a session publishes after a transaction."""
    session.execute(text("SELECT pg_stat_force_next_flush()"))
    session.commit()
    result: list[Any] = session.execute(ENTRIES, {"names": [AMOUNT, FRAUD, ANOMALY]}).all()
    session.commit()
    return dict(tuple(row) for row in result)


def milliseconds(call: Call, session: Session, *, indexed: bool, least: float) -> tuple[float, int]:
    """Return the time of one call, the mean of as many as take `least` seconds, and its rows."""
    table = TransactionRepository(session, output="polars")
    if not indexed:
        session.execute(text(f"DROP INDEX {AMOUNT}, {FRAUD}, {ANOMALY}"))
    n_rows = len(call(table))  # reads the catalog again, too
    n_calls, seconds = 1, 0.0
    while seconds < least:
        n_calls *= 2
        server, client = server_seconds(get_db_manager()), time.process_time()
        for _ in range(n_calls):
            call(table)
        seconds = time.process_time() - client + server_seconds(get_db_manager()) - server
    session.rollback()
    return seconds / n_calls * 1000, n_rows


def compare(rounds: int, least: float) -> list[list[str]]:
    """Return the rows of the table."""
    lines = [["call", "rows", "index", "with (ms)", "without (ms)", "without : with (range)"]]
    with get_db_session() as session:
        for name, call in CALLS.items():
            before = entries(session)
            least_read = len(call(TransactionRepository(session, output="polars")))
            after = entries(session)
            # The planner itself may read an entry at each end of an index.
            used = [index for index in after if after[index] - before[index] >= least_read > 0]
            times: dict[bool, list[float]] = {True: [], False: []}
            for number in range(rounds):
                for indexed in sorted(times, reverse=bool(number % 2)):
                    spent, n_rows = milliseconds(call, session, indexed=indexed, least=least)
                    times[indexed].append(spent)
            medians = [f"{statistics.median(values):,.1f}" for values in times.values()]
            ratios = [
                without / within for within, without in zip(times[True], times[False], strict=True)
            ]
            lines.append(
                [f"`{name}`", f"{n_rows:,}", ", ".join(used) or "none", *medians, spread(ratios)]
            )
    return lines


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=500))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
@click.option(
    "--least",
    default=0.5,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds of the processors for each time.",
)
def main(rows: int, rounds: int, least: float) -> None:
    """Print a table."""
    logging.disable(logging.WARNING)
    with own_folder():
        n_rows = fill(rows)
        lines = compare(rounds, least)
        get_db_manager().close()
    print(f"### Queries of {n_rows:,} transactions, {rounds} times each\n")
    print_markdown(lines)


if __name__ == "__main__":
    main()
