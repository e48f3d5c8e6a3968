"""What the versions of the data cost writers, and what the cache saves readers.

    python benchmarks/cache.py                     # loads, single rows, hits and misses
    python benchmarks/cache.py load --repeat 10    # load | rows | loop | hit | all

On an embedded server of its own. Loads and rows are written with the triggers
`tr_transactions_change` enabled and disabled in turns. `rows` come from clients, whose work is the
larger part; in `loop`, a loop inside the server inserts and commits each row. A hit is compared
with a miss of the same answer, in `memory://` or the cache that `--url` names.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import logging
import statistics
import time
from typing import TYPE_CHECKING

import click
from _measure import print_markdown
from _place import own_folder, server_seconds
from report_database import spread
from sqlalchemy import text

from synfin_analytics import TransactionRepository, get_db_manager, load_df, simulate
from synfin_analytics.database.manager import DatabaseManager

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

LOOP = """
    DO $$
    DECLARE
      row record;
    BEGIN
      FOR row IN SELECT * FROM benchmark_rows LOOP
        INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp)
        VALUES (row.transaction_id, row.customer_id, row.merchant_id, 10, '2026-01-01T10:00Z');
        COMMIT;
      END LOOP;
    END
    $$
"""
STATES = {"triggers": "ENABLE ALWAYS", "none": "DISABLE"}
INSERT = text("""
    INSERT INTO transactions (transaction_id, customer_id, merchant_id, amount, timestamp)
    VALUES (:id, :customer, :merchant, 10, '2026-01-01T10:00Z')
""")


def switch_triggers(state: str) -> None:
    """Enable or disable the trigger of transactions."""
    with get_db_manager().engine.begin() as connection:
        connection.execute(
            text(f"ALTER TABLE transactions {STATES[state]} TRIGGER tr_transactions_change")
        )


def empty_transactions() -> None:
    """Leave no dead rows for the next run, nor a table that grows."""
    with get_db_manager().engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("TRUNCATE transactions CASCADE"))
        connection.execute(text("CHECKPOINT"))


def compare_writes(write: Callable[[], None], repeat: int) -> list[list[str]]:
    """Write with and without the triggers in turns; return the medians and the ratios."""
    wall: dict[str, list[float]] = {state: [] for state in STATES}
    processor: dict[str, list[float]] = {state: [] for state in STATES}
    for number in range(repeat):
        # Each state is first in half of the turns.
        for state in sorted(STATES, reverse=bool(number % 2)):
            empty_transactions()
            switch_triggers(state)
            server, client, started = (
                server_seconds(get_db_manager()),
                time.process_time(),
                time.perf_counter(),
            )
            write()
            wall[state].append(time.perf_counter() - started)
            processor[state].append(
                time.process_time() - client + server_seconds(get_db_manager()) - server
            )
    lines = []
    for what, values in (("seconds", wall), ("processor seconds", processor)):
        ratios = [a / b for a, b in zip(values["triggers"], values["none"], strict=True)]
        medians = [f"{statistics.median(values[state]):.2f}" for state in STATES]
        lines.append([what, *medians, spread(ratios)])
    return lines


def compare_loads(rows: int, repeat: int) -> list[list[str]]:
    """Load a frame."""
    frame = payments(rows)
    return compare_writes(lambda: load_df(frame, "transactions", progress=False) and None, repeat)


def compare_rows(rows: int, clients: int, repeat: int) -> list[list[str]]:
    """Insert single rows, each in a transaction, from several clients at once."""
    keys = payments(rows).select("transaction_id", "customer_id", "merchant_id").rows()
    parts = [keys[client::clients] for client in range(clients)]

    def insert(part: list[tuple[str, str, str]]) -> None:
        with get_db_manager().engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            for key, customer, merchant in part:
                connection.execute(INSERT, {"id": key, "customer": customer, "merchant": merchant})

    def write() -> None:
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            list(pool.map(insert, parts))

    return compare_writes(write, repeat)


def compare_loop(rows: int, repeat: int) -> list[list[str]]:
    """Insert single rows, each in a transaction, in a loop inside the server."""
    keys = payments(rows).select("transaction_id", "customer_id", "merchant_id").to_dicts()
    columns = "transaction_id text, customer_id text, merchant_id text"
    insert = text("INSERT INTO benchmark_rows VALUES (:transaction_id, :customer_id, :merchant_id)")
    with get_db_manager().engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE benchmark_rows ({columns})"))
        connection.execute(insert, keys)

    def write() -> None:
        with get_db_manager().engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            # The disk would take most of the time, and no processor time.
            connection.execute(text("SET synchronous_commit = off"))
            connection.execute(text(LOOP))
            connection.execute(text("RESET synchronous_commit"))

    return compare_writes(write, repeat)


def compare_answers(rows: int, url: str, repeat: int) -> list[list[str]]:
    """Ask the same of the cache and of the database."""
    empty_transactions()
    switch_triggers("triggers")
    load_df(payments(rows), "transactions", progress=False)
    manager = DatabaseManager(dataclasses.replace(get_db_manager().config, cache_url=url))
    lines = []
    questions: dict[str, Callable[[TransactionRepository, bool], object]] = {
        "get_statistics()": lambda table, cache: table.get_statistics(cache=cache),
        'fraud_rate("channel", every="1w")': lambda table, cache: table.fraud_rate(
            "channel", every="1w", cache=cache
        ),
    }
    for name, ask in questions.items():
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for number in range(repeat + 1):
            for cache in (True, False):
                with manager.session_scope() as session:
                    table = TransactionRepository(session)
                    started = time.perf_counter()
                    ask(table, cache)
                    if number:  # the first call stores the answer
                        seconds[cache].append(time.perf_counter() - started)
        ratios = [hit / miss for hit, miss in zip(seconds[True], seconds[False], strict=True)]
        medians = [f"{statistics.median(values) * 1000:.1f}" for values in seconds.values()]
        lines.append([name, *medians, spread(ratios)])
    manager.close()
    return lines


def payments(rows: int) -> pl.DataFrame:
    """Return simulated transactions of the customers in the database."""
    return world(rows)["transactions"].head(rows)


def world(rows: int) -> dict[str, pl.DataFrame]:
    """Return the tables of a simulation."""
    simulated = simulate(max(50, rows // 100), 100, 120, seed=0, output="polars")
    frames: dict[str, pl.DataFrame] = simulated.to_dict()
    return frames


@click.command()
@click.argument("what", type=click.Choice(["load", "rows", "loop", "hit", "all"]), default="all")
@click.option("--rows", default=100_000, show_default=True, help="Rows of a load.")
@click.option("--single", default=4_000, show_default=True, help="Single rows.")
@click.option("--clients", default=8, show_default=True)
@click.option("--url", default="memory://", show_default=True)
@click.option("--repeat", default=6, show_default=True)
def main(what: str, rows: int, single: int, clients: int, url: str, repeat: int) -> None:
    """Print a table for each comparison."""
    logging.disable(logging.WARNING)
    compared = ["", "with triggers", "without", "ratio (range)"]
    with own_folder():
        get_db_manager().create_all_tables()
        frames = world(rows)
        for table in ("customers", "merchants"):
            load_df(frames[table], table, progress=False)
        if what in {"load", "all"}:
            print(f"### A load of {rows:,} rows, {repeat} times each\n")
            print_markdown([compared, *compare_loads(rows, repeat)])
        if what in {"rows", "all"}:
            print(f"\n### {single:,} rows from {clients} clients, {repeat} times each\n")
            print_markdown([compared, *compare_rows(single, clients, repeat)])
        if what in {"loop", "all"}:
            print(f"\n### {single:,} rows from a loop inside the server, {repeat} times each\n")
            print_markdown([compared, *compare_loop(single, repeat)])
        if what in {"hit", "all"}:
            heading = ["answer", "hit (ms)", "computed (ms)", "ratio (range)"]
            print(f"\n### Answers about {rows:,} rows, {repeat} times each\n")
            print_markdown([heading, *compare_answers(rows, url, repeat)])
        get_db_manager().close()


if __name__ == "__main__":
    main()
