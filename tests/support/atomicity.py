"""Interrupted loads: rows to load, moments to interrupt them, and the contents of the database."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg2
import pyarrow as pa
import servers
from sqlalchemy import text

from synfin_analytics.database.models import TABLES
from synfin_analytics.io.load import _load_df as load
from synfin_analytics.io.load import _write as writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from synfin_analytics.database.manager import DatabaseManager

BATCH = 100
BATCHES = 6
ROWS = BATCH * BATCHES
#: The third batch is read when the first is in the table and the second is being copied.
MIDDLE = 3

#: Preamble of programs that load: it imports this module and sets small batches.
PREAMBLE = f"""
    import sys
    sys.path.insert(0, {str(Path(__file__).parent)!r})
    import atomicity
    from synfin_analytics import get_db_manager, load_df, session_scope

    atomicity.small_batches()

    def wait(word="here"):
        print(word, flush=True)
        sys.stdin.readline()
"""


def small_batches(set_attribute: Callable[[Any, str, int], None] = setattr) -> None:
    """Read small batches, and rebuild the indexes even for few rows."""
    set_attribute(load, "BATCH_ROWS", BATCH)
    set_attribute(writer, "MIN_ROWS_TO_REBUILD", BATCH)


def transactions(rows: int = ROWS, *, start: int = 0, **columns: Any) -> pl.DataFrame:
    """Return transactions numbered from ``start``, of customer C1 with merchant M1."""
    return pl.DataFrame(
        {
            "transaction_id": [f"TX{number:06}" for number in range(start, start + rows)],
            "customer_id": "C1",
            "merchant_id": "M1",
            "amount": pl.int_range(1, rows + 1, eager=True),
            "timestamp": dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC),
            **columns,
        }
    )


def stream(
    frame: pl.DataFrame, do: Callable[[], object], *, at: int = MIDDLE
) -> pa.RecordBatchReader:
    """Yield ``frame`` in batches; ``do`` is called before batch number ``at``."""
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())

    def batches() -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(table.to_batches(max_chunksize=BATCH), 1):
            if number == at:
                do()
            yield batch

    return pa.RecordBatchReader.from_batches(table.schema, batches())


def fill(manager: DatabaseManager, *, earlier: int = 0) -> None:
    """Commit the parents, and ``earlier`` transactions numbered far from later loads."""
    with manager.session_scope() as session:
        session.execute(text(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY CASCADE"))
        session.execute(text("INSERT INTO customers (customer_id, email) VALUES ('C1', 'c@c.org')"))
        session.execute(text("INSERT INTO merchants (merchant_id) VALUES ('M1')"))
    if earlier:
        load.load_df(transactions(earlier, start=900_000), "transactions", manager=manager)


_CATALOG = """
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated,
           (SELECT count(*) FROM pg_trigger WHERE tgconstraint = c.oid AND tgenabled = 'O')
    FROM pg_constraint c WHERE connamespace = current_schema()::regnamespace
    UNION ALL
    SELECT 'index', indrelid::regclass::text, relname, pg_get_indexdef(indexrelid),
           indisvalid AND indisready, 0
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid
    WHERE relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), tgenabled = 'O', 0
    FROM pg_trigger WHERE NOT tgisinternal
    ORDER BY 1, 2, 3
"""


def contents(manager: DatabaseManager) -> dict[str, list[Any]]:
    """Return every row of every table, and every constraint, index and trigger."""
    with manager.engine.connect() as connection:
        rows: dict[str, list[Any]] = {
            name: list(connection.scalars(text(f"SELECT t::text FROM {name} t ORDER BY 1")))
            for name in TABLES
        }
        rows["catalog"] = [tuple(row) for row in connection.execute(text(_CATALOG))]
    return rows


def count(manager: DatabaseManager, table: str = "transactions") -> int:
    with manager.engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")))


def without_rows(
    snapshot: dict[str, list[Any]], table: str = "transactions"
) -> dict[str, list[Any]]:
    return {name: rows for name, rows in snapshot.items() if name != table}


def assert_loads(manager: DatabaseManager) -> None:
    """Check that the next load of the same rows works and changes nothing else."""
    before = contents(manager)
    report = load.load_df(transactions(), "transactions", manager=manager)
    assert report.inserted == ROWS
    after = contents(manager)
    assert len(after["transactions"]) == len(before["transactions"]) + ROWS
    assert without_rows(after) == without_rows(before)


@contextlib.contextmanager
def watcher(manager: DatabaseManager) -> Iterator[Any]:
    """Open a cursor on a separate connection, to watch the other sessions."""
    if manager.config.embedded:
        with manager.engine.connect() as connection:
            arguments = connection.connection.dbapi_connection.get_dsn_parameters()
    else:
        arguments = manager.config.connect_arguments()
    own = psycopg2.connect(**arguments)
    own.autocommit = True
    with contextlib.closing(own), own.cursor() as cursor:
        yield cursor


def ask(cursor: Any, query: str) -> list[Any]:
    cursor.execute(query)
    return [row[0] for row in cursor.fetchall()]


#: Server processes that write to this database, without the session of the query.
WRITING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
    "AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
)
WAITING = (
    "SELECT query FROM pg_stat_activity WHERE datname = current_database() "
    "AND wait_event_type = 'Lock'"
)


def wait_for_writer(cursor: Any) -> int:
    servers.wait_until(lambda: bool(ask(cursor, WRITING)), "a load writes")
    return int(ask(cursor, WRITING)[0])


def wait_for_silence(cursor: Any) -> None:
    """Wait until the server has ended all loads."""
    servers.wait_until(lambda: not ask(cursor, WRITING), "the server has rolled back")


def wait_for_blocked(cursor: Any, beginning: str = "") -> str:
    """Wait until a statement with this beginning waits for a lock."""

    def blocked() -> list[str]:
        return [query for query in ask(cursor, WAITING) if query.startswith(beginning)]

    servers.wait_until(lambda: bool(blocked()), f"{beginning or 'a statement'} waits for a lock")
    return blocked()[0]


_HOLD = """
    CREATE FUNCTION held(value text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
        PERFORM pg_advisory_lock_shared(7), pg_advisory_unlock_shared(7); RETURN value;
    END $$;
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM held(''); RETURN NULL;
    END $$
"""
AT_INDEX = "CREATE INDEX ix_held ON transactions (held(transaction_id))"
AT_COMMIT = (
    "CREATE CONSTRAINT TRIGGER held AFTER INSERT ON transactions DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW WHEN (NEW.transaction_id = 'TX000001') EXECUTE FUNCTION hold()"
)


@contextlib.contextmanager
def holding(cursor: Any, where: str) -> Iterator[None]:
    """Pause the server at a point of the load, until ``release`` is called or the block ends.

    It waits for an advisory lock that ``cursor`` holds.
    """
    cursor.execute(_HOLD)
    cursor.execute(where)
    cursor.execute("SELECT pg_advisory_lock(7)")
    try:
        yield
    finally:
        release(cursor)
        wait_for_silence(cursor)
        cursor.execute("DROP FUNCTION held, hold CASCADE")


def release(cursor: Any) -> None:
    cursor.execute("SELECT pg_advisory_unlock_all()")


class Proxy:
    """A network between client and server that can be cut."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        #: Called once instead of forwarding a client's COMMIT; its argument forwards the COMMIT.
        self.at_commit: Callable[[Callable[[], None]], object] | None = None
        #: Whether the connection is cut at the server's next message.
        self.cut_at_answer = False
        #: Where it is set, new connections lead nowhere; it tells that there was one.
        self.deaf: threading.Event | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut(self) -> None:
        """Cut all connections; new ones can be made."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        """Cut all connections for good."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.deaf is not None:
                    client.close()
                    self.deaf.set()
                    continue
                server = socket.create_connection(self._server)
                self._open += [client, server]
                for source, sink, pass_on in (
                    (client, server, self._to_server),
                    (server, client, self._to_client),
                ):
                    arguments = (source, sink, pass_on)
                    threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _to_server(self, data: bytes, server: socket.socket) -> None:
        if self.at_commit is None or b"COMMIT\0" not in data:
            server.sendall(data)
        else:
            at_commit, self.at_commit = self.at_commit, None
            at_commit(lambda: server.sendall(data))

    def _to_client(self, data: bytes, client: socket.socket) -> None:
        if self.cut_at_answer:
            self.cut_at_answer = False
            self.cut()
        else:
            client.sendall(data)

    @staticmethod
    def _pump(
        source: socket.socket,
        sink: socket.socket,
        pass_on: Callable[[bytes, socket.socket], object],
    ) -> None:
        with contextlib.suppress(OSError), contextlib.closing(source):
            while data := source.recv(1 << 16):
                pass_on(data, sink)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
