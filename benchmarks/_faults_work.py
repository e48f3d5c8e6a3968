"""The work that the campaign of faults interrupts: every way to load, and what each must leave.

A work prepares a database, changes it, and says whether what is there is the state before the
change, the state after it, or neither.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
from sqlalchemy import text

from synfin_analytics import load_df
from synfin_analytics.database.models import TABLES
from synfin_analytics.repositories import TransactionRepository

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from synfin_analytics import DatabaseManager

#: ``between``: a work of several steps that a second call finishes.
State = Literal["before", "between", "after"]
#: Number of rows and a checksum for each table.
Contents = dict[str, tuple[int, int]]

ROWS = 3000
#: Rows that are validated and copied at a time: a load has several moments of each kind.
BATCH = 250
EARLIER = 1500
CUSTOMERS = 40
START = dt.datetime(2024, 11, 1, tzinfo=dt.UTC)


def transactions(rows: int, *, first: int = 0, amount: float = 0.0) -> pl.DataFrame:
    """Return transactions numbered from ``first``, ten minutes apart, of the prepared parents."""
    number = pl.int_range(first, first + rows, eager=True)
    return pl.DataFrame(
        {
            "transaction_id": "TX" + number.cast(pl.String).str.zfill(7),
            "customer_id": "C" + (number % CUSTOMERS).cast(pl.String),
            "merchant_id": "M" + (number % 7).cast(pl.String),
            "amount": (number % 900) + 1.25 + amount,
            "timestamp": START + number * dt.timedelta(minutes=10),
            "is_fraud": number % 50 == 0,
        }
    )


def parents() -> dict[str, pl.DataFrame]:
    """Return the customers and merchants of :func:`transactions`."""
    customers = [f"C{number}" for number in range(CUSTOMERS)]
    return {
        "customers": pl.DataFrame(
            {"customer_id": customers, "email": [f"{name}@example.org" for name in customers]}
        ),
        "merchants": pl.DataFrame({"merchant_id": [f"M{number}" for number in range(7)]}),
    }


def predictions(keys: pl.Series) -> pl.DataFrame:
    """Return one prediction for each transaction."""
    score = (pl.int_range(len(keys), eager=True) % 100) / 100
    return pl.DataFrame(
        {
            "transaction_id": keys,
            "model_name": "logit",
            "model_version": "1",
            "prediction": score >= 0.5,
            "fraud_probability": score,
        }
    )


# -- The state of a database -----------------------------------------------------------------------

#: Columns that differ from run to run.
_VOLATILE = "{created_at,updated_at,predicted_at,id}"
_CATALOG = """
    SELECT 'constraint ' || conname || ' on ' || conrelid::regclass || ': ' ||
           pg_get_constraintdef(oid) AS description, convalidated AS valid
    FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
    UNION ALL
    SELECT 'index ' || pg_get_indexdef(indexrelid), indisvalid AND indisready
    FROM pg_index JOIN pg_class c ON c.oid = indexrelid
    WHERE relnamespace = current_schema()::regnamespace
    UNION ALL
    SELECT 'trigger ' || tgname || ' on ' || tgrelid::regclass, tgenabled IN ('O', 'A')
    FROM pg_trigger WHERE NOT tgisinternal
"""


def read_contents(manager: DatabaseManager) -> Contents:
    """Return the number of rows and a checksum of each table."""
    contents: Contents = {}
    with manager.engine.connect() as connection:
        for name in TABLES:
            row = connection.execute(
                text(
                    "SELECT count(*), coalesce(sum(hashtextextended((to_jsonb(t) - "
                    f"CAST('{_VOLATILE}' AS text[]))::text, 0)), 0)::text FROM {name} t"
                )
            ).one()
            contents[name] = (int(row[0]), int(row[1]))
    return contents


def read_catalog(manager: DatabaseManager) -> frozenset[tuple[str, bool]]:
    """Return each constraint, index and trigger, and whether it is valid and enabled."""
    with manager.engine.connect() as connection:
        return frozenset((row[0], row[1]) for row in connection.execute(text(_CATALOG)))


def clear(manager: DatabaseManager) -> None:
    """Remove every row of every table."""
    with manager.session_scope() as session:
        session.execute(text(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY CASCADE"))


# -- Work ------------------------------------------------------------------------------------------


@dataclass
class Work:
    """A change of the database that happens as a whole or not at all.

    Attributes
    ----------
    states
        Contents before and after the change, once :meth:`learn` has run.
    """

    name: ClassVar[str] = ""
    database: ClassVar[str] = "faults"
    #: Whether a client that lost its connection can ask for the outcome of the commit.
    knows_outcome: ClassVar[bool] = True
    #: Whether the client writes files too, so that its disk may be full.
    writes_files: ClassVar[bool] = False
    #: Share of the faults after which the work is done again.
    resumes: ClassVar[float] = 0.25
    folder: Path
    states: Mapping[State, Contents] | None = None

    def prepare(self, manager: DatabaseManager) -> None:
        """Bring the database, and the work's folder, to the state before the change."""
        clear(manager)
        for table, frame in parents().items():
            load_df(frame, table, manager=manager, progress=False)

    def run(self, manager: DatabaseManager) -> None:
        """Make the change."""
        raise NotImplementedError

    def learn(self, manager: DatabaseManager) -> None:
        """Make the change without any fault, and remember the contents before and after it."""
        self.prepare(manager)
        before = read_contents(manager)
        self.run(manager)
        self.states = {"before": before, "after": read_contents(manager)}

    def inspect(self, manager: DatabaseManager) -> tuple[State | None, str]:
        """Return the state of the database after a fault, and what is wrong with it."""
        contents = read_contents(manager)
        for state, expected in (self.states or {}).items():
            if contents == expected:
                return state, ""
        counts = {name: count for name, (count, _) in contents.items() if count}
        return None, f"half of the work is there: {counts}"

    def resume(self, manager: DatabaseManager, state: State) -> str:
        """Make the change if it was not made; return what is wrong afterwards."""
        if state == "before":
            self.run(manager)
        after, problem = self.inspect(manager)
        return problem if after == "after" else problem or "a second call did not finish the work"


class LoadIntoEmpty(Work):
    """A load that keeps the indexes of an empty table."""

    name = "load, empty table"

    def run(self, manager: DatabaseManager) -> None:
        """Load into the empty table."""
        load_df(
            transactions(ROWS), "transactions", manager=manager, batch_size=BATCH,
            rebuild_indexes="never", progress=False,
        )  # fmt: skip


class LoadRebuilding(Work):
    """A load that drops the indexes of an empty table and builds them again."""

    name = "load, indexes rebuilt"

    def run(self, manager: DatabaseManager) -> None:
        """Load into the empty table."""
        load_df(
            transactions(ROWS), "transactions", manager=manager, batch_size=BATCH,
            rebuild_indexes="always", progress=False,
        )  # fmt: skip


class _Filled(Work):
    """A work on a table with rows."""

    def prepare(self, manager: DatabaseManager) -> None:
        """Load the parents and some transactions."""
        super().prepare(manager)
        load_df(transactions(EARLIER), "transactions", manager=manager, progress=False)


class LoadMore(_Filled):
    """A load of further rows."""

    name = "load, filled table"

    def run(self, manager: DatabaseManager) -> None:
        """Load rows that follow those of the table."""
        frame = transactions(ROWS, first=EARLIER)
        load_df(frame, "transactions", manager=manager, batch_size=BATCH, progress=False)


class Update(_Filled):
    """A load that updates the rows that exist."""

    name = 'load, on_conflict="update"'

    def run(self, manager: DatabaseManager) -> None:
        """Load rows half of which exist."""
        load_df(
            transactions(ROWS, amount=5.5), "transactions", manager=manager, batch_size=BATCH,
            on_conflict="update", progress=False,
        )  # fmt: skip


class Skip(_Filled):
    """A load that skips the rows that exist."""

    name = 'load, on_conflict="skip"'

    def run(self, manager: DatabaseManager) -> None:
        """Load rows half of which exist."""
        load_df(
            transactions(ROWS), "transactions", manager=manager, batch_size=BATCH,
            on_conflict="skip", progress=False,
        )  # fmt: skip


class Reject(_Filled):
    """A load that rejects invalid rows and creates missing parents."""

    name = "load, rejects and parents"

    def run(self, manager: DatabaseManager) -> None:
        """Load rows with negative amounts and with new customers."""
        frame = transactions(ROWS, first=EARLIER).with_columns(
            amount=pl.when(pl.int_range(pl.len()) % 10 == 0).then(-1.0).otherwise(pl.col("amount")),
            customer_id="N" + (pl.int_range(pl.len()) % 90).cast(pl.String),
        )
        load_df(
            frame, "transactions", manager=manager, batch_size=BATCH, on_invalid="reject",
            on_missing_parent="create", progress=False,
        )  # fmt: skip


class LoadFile(_Filled):
    """A load of a CSV file."""

    name = "load, CSV file"

    def prepare(self, manager: DatabaseManager) -> None:
        """Write the file too."""
        super().prepare(manager)
        transactions(ROWS, first=EARLIER).write_csv(self.folder / "more.csv")

    def run(self, manager: DatabaseManager) -> None:
        """Load the file."""
        load_df(
            self.folder / "more.csv", "transactions", manager=manager, batch_size=BATCH,
            progress=False,
        )  # fmt: skip


class Session(Work):
    """Loads into several tables in one session, with a row of the ORM."""

    name = "session, three tables"
    knows_outcome = False

    def prepare(self, manager: DatabaseManager) -> None:
        """Remove everything."""
        clear(manager)

    def run(self, manager: DatabaseManager) -> None:
        """Load parents, transactions and predictions, and commit once."""
        frame = transactions(ROWS // 2)
        with manager.session_scope() as session:
            for table, rows in parents().items():
                load_df(rows, table, session=session, progress=False)
            repository = TransactionRepository(session)
            repository.bulk_create(frame, batch_size=BATCH, progress=False)
            repository.update("TX0000001", fraud_type="card_testing")
            load_df(
                predictions(frame["transaction_id"]), "model_predictions", session=session,
                batch_size=BATCH, progress=False,
            )  # fmt: skip


class BulkInsert(_Filled):
    """``DatabaseManager.bulk_insert`` of dicts."""

    name = "bulk_insert"

    def run(self, manager: DatabaseManager) -> None:
        """Insert predictions."""
        rows = predictions(transactions(EARLIER)["transaction_id"]).to_dicts()
        manager.bulk_insert(rows, BATCH, table="model_predictions", progress=False)


class LoadPartitioned(_Filled):
    """A load into a table that its owner has partitioned by month."""

    name = "load, partitioned table"
    database = "faults_partitioned"

    def run(self, manager: DatabaseManager) -> None:
        """Load rows that follow those of the table."""
        frame = transactions(ROWS, first=EARLIER)
        load_df(frame, "transactions", manager=manager, batch_size=BATCH, progress=False)


def partition(manager: DatabaseManager) -> None:
    """Replace ``transactions`` by a table partitioned by month."""
    with manager.session_scope() as session:
        for statement in (
            "DROP TABLE transactions CASCADE",
            "CREATE TABLE transactions (LIKE whole INCLUDING DEFAULTS INCLUDING CONSTRAINTS) "
            "PARTITION BY RANGE (timestamp)",
            "ALTER TABLE transactions ADD PRIMARY KEY (transaction_id, timestamp)",
            "CREATE TABLE november PARTITION OF transactions "
            "FOR VALUES FROM ('2024-11-01') TO ('2024-11-20')",
            "CREATE TABLE later PARTITION OF transactions DEFAULT",
            "DROP TABLE whole",
        ):
            if statement.startswith("DROP TABLE transactions"):
                session.execute(text("CREATE TABLE whole (LIKE transactions INCLUDING ALL)"))
            session.execute(text(statement))


LOADS: tuple[type[Work], ...] = (
    LoadIntoEmpty,
    LoadRebuilding,
    LoadMore,
    Update,
    Skip,
    Reject,
    LoadFile,
    Session,
    BulkInsert,
    LoadPartitioned,
)
