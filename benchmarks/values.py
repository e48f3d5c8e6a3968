"""Queries with values, compared with the same queries with literals: python benchmarks/values.py

The handbook's 1.75 million transactions are loaded into a temporary PostgreSQL, with a prediction
for every fifth. Each query runs with its values in ``params`` and with literals in its text, in
turns, and so do methods of a repository, whose queries are written with literals to compare them;
the ratio above 1 is the price of values that the server's log does not show. The times are
those of the processors, so that other work matters little: of the client, and of the server with
its parallel workers, which must run on the same machine (Linux).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import statistics
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import click
from _measure import print_markdown
from _place import open_place
from handbook import data_option, find, store
from sqlalchemy import text

from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.database.models import Transaction
from synfin_analytics.io.read import _run, read_df
from synfin_analytics.io.read._sql import BoundSQL, Parameter, to_python
from synfin_analytics.repositories import TransactionRepository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import ColumnElement

    from synfin_analytics.io.read._sql import Statement

START = dt.datetime(2018, 4, 10, tzinfo=dt.UTC)
MONTH, END = START + dt.timedelta(days=30), dt.datetime(2018, 9, 20, tzinfo=dt.UTC)
ROW, JOIN = "SELECT * FROM transactions", "FROM transactions t JOIN customers c USING (customer_id)"
BETWEEN = "t.timestamp >= :start AND t.timestamp < :end"
#: Queries by name, and their values besides ``:ids``, a list, and ``:id``.
QUERIES: dict[str, tuple[str, dict[str, Any]]] = {
    "the smallest": ("SELECT 1 AS a WHERE 'x' = :v", {"v": "x"}),
    "a row by its key": (f"{ROW} WHERE transaction_id = :id", {}),
    "rows of a customer": (f"{ROW} WHERE customer_id = :c ORDER BY timestamp", {"c": "4111"}),
    "10,000 keys": (f"{ROW} WHERE transaction_id IN :ids", {}),
    "rows of a month": (f"{ROW} t WHERE {BETWEEN}", {"start": START, "end": MONTH}),
    "rates of most rows": (
        "SELECT merchant_category, date_trunc('day', timestamp) AS day, count(*) AS n, "
        f"count(*) FILTER (WHERE is_fraud) AS k FROM transactions t WHERE {BETWEEN} GROUP BY 1, 2",
        {"start": START, "end": END},
    ),
    "counts above an amount": (
        "SELECT customer_id, count(*) FILTER (WHERE amount > :a) AS n FROM transactions GROUP BY 1",
        {"a": 100},
    ),
    "two bounds of most rows": (
        "SELECT customer_id, max(amount) FROM transactions WHERE amount > :a "
        "AND timestamp > :start GROUP BY 1",
        {"a": 10, "start": START},
    ),
    "join, most rows": (
        f"SELECT c.country, count(*) {JOIN} WHERE {BETWEEN} GROUP BY 1",
        {"start": START, "end": END},
    ),
    "join, a month": (
        f"SELECT c.country, count(*) {JOIN} WHERE {BETWEEN} GROUP BY 1",
        {"start": START, "end": MONTH},
    ),
    "predictions from a start": (
        "SELECT p.fraud_probability, count(*) AS n, count(*) FILTER (WHERE t.is_fraud) AS k "
        "FROM model_predictions p JOIN transactions t USING (transaction_id) "
        "WHERE p.model_name = :m AND p.model_version = :v AND t.timestamp >= :start GROUP BY 1",
        {"m": "m", "v": "1", "start": START},
    ),
    "known labels": (
        "SELECT count(*) FILTER (WHERE timestamp < :end) AS known, count(*) AS n FROM transactions "
        "WHERE is_fraud IS NOT NULL",
        {"end": END},
    ),
}
#: Methods of a repository by name.
METHODS: dict[str, Callable[[TransactionRepository], object]] = {
    "fraud_rate, most rows": lambda r: r.fraud_rate(start=START, end=END),
    "fraud_rate by day, a month": lambda r: r.fraud_rate(every="1d", start=START, end=MONTH),
    "fraud_rate without cluster, a month": lambda r: r.fraud_rate(
        start=START, end=MONTH, cluster=None
    ),
    "get_by_transaction_id": lambda r: r.get_by_transaction_id("1000"),
    "get_by_customer": lambda r: r.get_by_customer("4111"),
    "list above an amount": lambda r: r.list(Transaction.amount > 200, limit=1000),
}
PREDICTIONS = """
    INSERT INTO model_predictions (transaction_id, model_name, model_version, prediction,
        fraud_probability)
    SELECT transaction_id, 'm', '1', amount > 200, round(least(amount / 1000, 1)::numeric, 3)
    FROM transactions WHERE hashtext(transaction_id) % 5 = 0
"""


def quoted(cursor: Any, value: object) -> str:
    """Return the literal that psycopg2 writes."""
    text: str = cursor.mogrify("%s", (tuple(value) if isinstance(value, list) else value,)).decode()
    return text


def with_literals(manager: DatabaseManager, query: str, values: dict[str, Any]) -> str:
    """Write the values into the text."""
    connection = manager.engine.raw_connection()
    try:
        with connection.cursor() as cursor:
            literals = {name: quoted(cursor, value) for name, value in values.items()}
    finally:
        connection.close()
    return re.sub(r"(?<!:):(\w+)", lambda match: literals[match[1]], query)


@contextlib.contextmanager
def writing_literals() -> Iterator[None]:
    """Let the package write the values of all queries into their text."""

    @contextlib.contextmanager
    def bind(cursor: Any, statement: Statement, *_: object, **__: object) -> Iterator[BoundSQL]:
        yield BoundSQL(
            statement,
            [
                quoted(cursor, to_python(piece.value)) if isinstance(piece, Parameter) else piece
                for piece in statement.pieces
            ],
        )

    def equals(_: TransactionRepository, column: ColumnElement[Any], value: object) -> Any:
        return column == value

    with (
        patch.object(_run, "bind_values", bind),
        patch.object(TransactionRepository, "_equals_apart", equals),
    ):
        yield


def cpu(server: int) -> float:
    """Return the seconds of the processors so far: of this process, and of all of a server."""
    ticks = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # the process has ended
            fields = file.read_text().rpartition(")")[2].split()
            own = file.parent.name == str(server)
            if own or fields[1] == str(server):
                ticks += sum(map(int, fields[11 : 15 if own else 13]))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def seconds(work: Callable[[], object], manager: DatabaseManager) -> float:
    """Return the seconds of some work, the mean of three runs or of as many as take a second."""
    pid = int(read_df("SELECT pg_backend_pid() AS pid", manager=manager)["pid"][0])
    server = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    started, n = cpu(server), 0
    while n < 3 or cpu(server) - started < 1:
        for _ in range(3):
            work()
        n += 3
    return (cpu(server) - started) / n


def pairs_of_work(
    manager: DatabaseManager,
) -> Iterator[tuple[str, tuple[Callable[[], object], ...]]]:
    """Yield the name of each query and method, with literals and with values."""
    ids = read_df("SELECT transaction_id FROM transactions LIMIT 10000", manager=manager)
    keys = ids["transaction_id"].tolist()
    for name, (query, given) in QUERIES.items():
        lists = {"ids": keys} if ":ids" in query else {"id": keys[0]} if ":id" in query else {}
        values = {**given, **lists}
        literal = with_literals(manager, query, values)
        run = partial(read_df, output="polars", manager=manager)
        yield name, (partial(run, literal), partial(run, query, values))
    for name, method in METHODS.items():
        call = partial(call_method, manager, method)
        yield name, (partial(call, writing_literals), partial(call, contextlib.nullcontext))


def call_method(
    manager: DatabaseManager,
    method: Callable[[TransactionRepository], object],
    way: Callable[[], contextlib.AbstractContextManager[None]],
) -> None:
    """Call a method in a session of its own, one of the two ways."""
    with way(), manager.session_scope() as session:
        method(TransactionRepository(session, output="polars"))


def compare(manager: DatabaseManager, rounds: int, only: str = "") -> list[list[str]]:
    """Return the medians of both, and of their ratio."""
    lines = [["query", "literals (ms)", "values (ms)", "ratio"]]
    for name, ways in pairs_of_work(manager):
        if only not in name:
            continue
        for way in ways:
            way()  # imports what it needs
        pairs = []
        for number in range(rounds):
            order = (0, 1) if number % 2 else (1, 0)
            times = {index: seconds(ways[index], manager) for index in order}
            pairs.append((times[0], times[1]))
        medians = [statistics.median(column) * 1000 for column in zip(*pairs, strict=True)]
        ratio = statistics.median(after / before for before, after in pairs)
        lines.append([name, *(f"{median:.1f}" for median in medians), f"{ratio:.2f}"])
        click.echo(f"{name}: {ratio:.2f}", err=True)
    return lines


@click.command()
@data_option
@click.option("--rounds", default=5, show_default=True)
@click.option("--only", default="", help="Part of the names of the queries to run.")
def main(data: Path, rounds: int, only: str) -> None:
    """Print the ratios."""
    files = find(data)
    if not files:
        raise click.ClickException(f"No handbook/transactions.parquet in {data}.")
    with open_place() as place, place.prepared("values", {}) as name:
        config = DatabaseConfig.from_env(environ={"DATABASE_URL": place.url(name)})
        manager = DatabaseManager(config)
        try:
            store(files[0], manager)
            prepare(manager)
            print_markdown(compare(manager, rounds, only))
        finally:
            manager.close()


def prepare(manager: DatabaseManager) -> None:
    """Add the predictions, and count what the planner needs to know."""
    with manager.engine.begin() as connection:
        connection.execute(text(PREDICTIONS))
    with manager.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE"))


if __name__ == "__main__":
    main()
