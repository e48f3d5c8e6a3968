"""Peers: ways to load into and read from PostgreSQL, each in its usual style.

``prepare`` imports and brings the rows into memory; what it returns is timed, and gives the number
of rows. Imports stand in the functions: a peer pays for its own libraries alone.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    import polars as pl
    from _measure import Job

    Run = Callable[[], int]

SLOW_SAMPLE = 20_000


@dataclasses.dataclass(frozen=True)
class Peer:
    """One way, its requirements, and a note for the table."""

    name: str
    prepare: Callable[[Job], Run]
    #: Modules that are not dependencies of the package: import name and package to install.
    needs: dict[str, str] = dataclasses.field(default_factory=dict)
    #: Maximum number of rows; the speed of the sample is reported.
    sample: int | None = None
    note: str = ""

    @property
    def missing(self) -> list[str]:
        """Packages to install first."""
        return [
            package
            for module, package in self.needs.items()
            if importlib.util.find_spec(module) is None
        ]


ADBC = {"adbc_driver_postgresql": "adbc-driver-postgresql"}
CONNECTORX = {"connectorx": "connectorx"}


# -- Shared helpers -------------------------------------------------------------------------------


def _polars(job: Job) -> pl.DataFrame:
    import polars as pl

    return pl.read_parquet(job.file("parquet"), n_rows=job.rows)


def _pandas(job: Job) -> pd.DataFrame:
    """Convert to pandas as an analyst has it: money as floats, timestamps in UTC."""
    import polars.selectors as cs

    return _polars(job).with_columns(cs.decimal().cast(float)).to_pandas()


def _engine(job: Job) -> Any:
    from sqlalchemy import create_engine

    return create_engine(job.url.replace("postgresql:", "postgresql+psycopg2:", 1))


def _copy(job: Job, names: list[str], stream: Any, form: str) -> None:
    import psycopg2

    with psycopg2.connect(job.url) as connection, connection.cursor() as cursor:
        cursor.copy_expert(_copy_from("transactions", names, form), stream, size=1 << 20)


def _copy_from(table: str, names: list[str], form: str) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    return f"COPY {table} ({columns}) FROM STDIN (FORMAT {form})"


def _psql(job: Job, *commands: str) -> Run:
    """Run commands in one transaction of psql."""
    from synfin_analytics.database.embedded._binaries import server_binaries

    options = [part for command in commands for part in ("-c", command)]
    command = [server_binaries().program("psql"), "-Xq1", "-v", "ON_ERROR_STOP=1", *options]

    def run() -> int:
        subprocess.run([*command, job.url], check=True)
        return job.rows

    return run


class _Pieces(io.RawIOBase):
    """File of an iterator of bytes, for ``copy_expert``."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = memoryview(piece)
        part, self._rest = self._rest[:size], self._rest[size:]
        return bytes(part)


# -- Into the table -------------------------------------------------------------------------------


def _load(job: Job, data: Any, **options: Any) -> Run:
    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.load import load_df

    manager = DatabaseManager(DatabaseConfig.from_env(environ={"DATABASE_URL": job.url}))

    def run() -> int:
        report = load_df(data, "transactions", manager=manager, progress=False, **options)
        return report.inserted + report.updated

    return run


#: Default of ``load_df`` for an empty table of the embedded server, which is addressed by its URL
#: here.
_EMPTY = {"rebuild_indexes": "always"}


def load_df_polars(job: Job) -> Run:
    return _load(job, _polars(job))


def load_df_pandas(job: Job) -> Run:
    return _load(job, _pandas(job))


def load_df_polars_empty(job: Job) -> Run:
    return _load(job, _polars(job), **_EMPTY)


def load_df_pandas_empty(job: Job) -> Run:
    return _load(job, _pandas(job), **_EMPTY)


def load_df_parquet_empty(job: Job) -> Run:
    return _load(job, job.file("parquet"), **_EMPTY)


def to_sql(job: Job) -> Run:
    frame, engine = _pandas(job), _engine(job)

    def run() -> int:
        frame.to_sql("transactions", engine, if_exists="append", index=False)
        return len(frame)

    return run


def sqlalchemy_insert(job: Job) -> Run:
    from sqlalchemy import insert

    from synfin_analytics.database.models import Transaction

    frame, engine = _polars(job), _engine(job)

    def run() -> int:
        with engine.begin() as connection:
            connection.execute(insert(Transaction), frame.to_dicts())
        return frame.height

    return run


def execute_values(job: Job) -> Run:
    import psycopg2
    from psycopg2.extras import execute_values

    frame = _polars(job)

    def run() -> int:
        columns = ", ".join(f'"{name}"' for name in frame.columns)
        statement = f"INSERT INTO transactions ({columns}) VALUES %s"
        with psycopg2.connect(job.url) as connection, connection.cursor() as cursor:
            execute_values(cursor, statement, frame.rows(), page_size=1000)
        return frame.height

    return run


def pandas_csv(job: Job) -> Run:
    frame = _pandas(job)

    def run() -> int:
        text = io.StringIO()
        frame.to_csv(text, index=False, header=False)
        text.seek(0)
        _copy(job, list(frame.columns), text, "csv")
        return len(frame)

    return run


def polars_csv(job: Job) -> Run:
    from _data import write_csv

    frame = _polars(job)

    def run() -> int:
        text = io.BytesIO()
        write_csv(frame, text)
        text.seek(0)
        _copy(job, frame.columns, text, "csv")
        return frame.height

    return run


def polars_adbc(job: Job) -> Run:
    import adbc_driver_postgresql.dbapi  # noqa: F401 - imported by polars

    frame = _polars(job)

    def run() -> int:
        return frame.write_database(
            "transactions", job.url, if_table_exists="append", engine="adbc"
        )

    return run


def adbc_ingest(job: Job) -> Run:
    import adbc_driver_postgresql.dbapi as adbc
    from _data import arrow

    table = arrow(_polars(job))

    def run() -> int:
        with adbc.connect(job.url) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("transactions", table, mode="append")
            connection.commit()
        return table.num_rows

    return run


def pgpq_copy(job: Job) -> Run:
    from _data import arrow, encoded

    table = arrow(_polars(job))

    def run() -> int:
        _copy(job, table.column_names, _Pieces(encoded(iter([table]))), "binary")
        return table.num_rows

    return run


def psql_csv(job: Job) -> Run:
    return _psql(job, f"\\copy transactions FROM '{job.file('csv')}' (FORMAT csv)")


def psql_binary(job: Job) -> Run:
    return _psql(job, f"\\copy transactions FROM '{job.file('binary')}' (FORMAT binary)")


# -- Insert or update -----------------------------------------------------------------------------


def load_df_update(job: Job) -> Run:
    return _load(job, _polars(job), on_conflict="update")


_STAGE = "CREATE TEMP TABLE stage (LIKE transactions) ON COMMIT DROP"


def _from_stage() -> str:
    from _data import COLUMNS

    changes = ", ".join(f'"{name}" = excluded."{name}"' for name in COLUMNS[1:])
    return (
        "INSERT INTO transactions SELECT * FROM stage "
        f"ON CONFLICT ({COLUMNS[0]}) DO UPDATE SET {changes}"
    )


def staged_polars(job: Job) -> Run:
    import psycopg2
    from _data import write_csv

    frame, from_stage = _polars(job), _from_stage()

    def run() -> int:
        text = io.BytesIO()
        write_csv(frame, text)
        text.seek(0)
        with psycopg2.connect(job.url) as connection, connection.cursor() as cursor:
            cursor.execute(_STAGE)
            cursor.copy_expert(_copy_from("stage", frame.columns, "csv"), text, size=1 << 20)
            cursor.execute(from_stage)
        return frame.height

    return run


def staged_psql(job: Job) -> Run:
    copy = f"\\copy stage FROM '{job.file('csv')}' (FORMAT csv)"
    return _psql(job, _STAGE, copy, _from_stage())


# -- Out of the table -----------------------------------------------------------------------------


def _read(frame: str) -> Callable[[Job], Run]:
    def prepare(job: Job) -> Run:
        from synfin_analytics.database.config import DatabaseConfig
        from synfin_analytics.database.manager import DatabaseManager
        from synfin_analytics.io.read import read_df

        manager = DatabaseManager(DatabaseConfig.from_env(environ={"DATABASE_URL": job.url}))
        # An empty result imports the same modules as a full one.
        read_df(f"{job.query} LIMIT 0", manager=manager, output=frame)
        return lambda: len(read_df(job.query, manager=manager, output=frame))

    return prepare


class _Nowhere:
    """A file that discards everything that is written to it."""

    write = staticmethod(len)


def raw_copy(job: Job) -> Run:
    import psycopg2

    def run() -> int:
        with psycopg2.connect(job.url) as connection, connection.cursor() as cursor:
            cursor.copy_expert(f"COPY ({job.query}) TO STDOUT (FORMAT binary)", _Nowhere)
        return job.rows

    return run


def adbc_fetch(job: Job) -> Run:
    import adbc_driver_postgresql.dbapi as adbc

    def run() -> int:
        with adbc.connect(job.url) as connection, connection.cursor() as cursor:
            cursor.execute(job.query)
            return int(cursor.fetch_arrow_table().num_rows)

    return run


def adbc_cents(job: Job) -> Run:
    return adbc_fetch(dataclasses.replace(job, query=_in_cents(job.query)))


def _in_cents(query: str) -> str:
    """Read money as whole cents and other decimals as doubles, types that ADBC can decode."""
    from sqlalchemy import Numeric

    from synfin_analytics.database.models import Transaction

    table = Transaction.__table__
    chosen = query.removeprefix("SELECT ").removesuffix(" FROM transactions")
    names = list(table.columns.keys()) if chosen == "*" else chosen.split(", ")
    terms = []
    for name in names:
        kind = table.columns[name].type
        term = f'"{name}"'
        if isinstance(kind, Numeric) and kind.asdecimal:
            term = f"({term} * 100)::bigint" if kind.scale == 2 else f"{term}::float8"
            term += f' AS "{name}"'
        terms.append(term)
    return f"SELECT {', '.join(terms)} FROM transactions"


def _connectorx(job: Job, queries: str | list[str]) -> Run:
    import connectorx

    url = job.url.replace(
        "@/", "@localhost/", 1
    )  # it needs a host in addition to the socket's folder
    return lambda: int(connectorx.read_sql(url, queries, return_type="arrow").num_rows)


def connectorx_one(job: Job) -> Run:
    return _connectorx(job, job.query)


def connectorx_two(job: Job) -> Run:
    middle = f"TX{10**11 + job.rows}"  # keys are even, up to twice the rows
    return _connectorx(
        job,
        [f"{job.query} WHERE transaction_id {comparison} '{middle}'" for comparison in ("<", ">=")],
    )


def csv_polars(job: Job) -> Run:
    import polars as pl
    import psycopg2

    def run() -> int:
        text = io.BytesIO()
        with psycopg2.connect(job.url) as connection, connection.cursor() as cursor:
            cursor.copy_expert(f"COPY ({job.query}) TO STDOUT (FORMAT csv, HEADER)", text)
        text.seek(0)
        return pl.read_csv(text, try_parse_dates=True, infer_schema_length=10_000).height

    return run


def read_sql(job: Job) -> Run:
    import pandas as pd

    engine = _engine(job)
    return lambda: len(pd.read_sql(job.query, engine))


# -- Out of the database, to files -----------------------------------------------------------------


def batches_only(job: Job) -> Run:
    return _export(job, lambda batches: sum(batch.num_rows for batch in batches))


def export_to(name: str, **division: Any) -> Callable[[Job], Run]:
    """Export to this file or folder; ``division`` is a class and its arguments."""

    def prepare(job: Job) -> Run:
        from pathlib import Path

        from synfin_analytics.cli import _dataset
        from synfin_analytics.cli._export import write_batches

        partition = None
        for kind, options in division.items():
            partition = getattr(_dataset, kind)(*options)
        target = Path(job.folder) / name
        return _export(job, lambda batches: write_batches(batches, target, partition=partition))

    return prepare


def _export(job: Job, write: Callable[[Any], int]) -> Run:
    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.read import read_batches

    manager = DatabaseManager(DatabaseConfig.from_env(environ={"DATABASE_URL": job.url}))

    def run() -> int:
        with read_batches(job.query, manager=manager) as batches:
            return write(batches)

    return run


# -- Comparisons ----------------------------------------------------------------------------------

_LOADERS = [
    Peer("load_df(polars)", load_df_polars, note="every cell checked"),
    Peer("load_df(pandas)", load_df_pandas, note="every cell checked; money from floats"),
]
_PSQL = Peer("psql \\copy of a CSV file", psql_csv, note="file made beforehand")
_PSQL_BINARY = Peer(
    "psql \\copy of a binary file", psql_binary, note="file made beforehand with pgpq"
)
_FAST = [
    Peer("polars write_database, ADBC", polars_adbc, ADBC),
    Peer("polars CSV + COPY", polars_csv),
    Peer("adbc_ingest", adbc_ingest, ADBC),
    Peer("pgpq + COPY", pgpq_copy, note="Arrow to binary COPY by hand"),
]

#: Peers of each comparison; ours come first, and ratios refer to them.
GROUPS: dict[str, list[Peer]] = {
    "load, empty table": [
        Peer("load_df(polars)", load_df_polars_empty, note="every cell checked"),
        Peer("load_df(pandas)", load_df_pandas_empty, note="every cell checked; money from floats"),
        Peer("pandas to_sql", to_sql, sample=SLOW_SAMPLE),
        Peer("SQLAlchemy insert", sqlalchemy_insert, sample=SLOW_SAMPLE),
        Peer("psycopg2 execute_values", execute_values, sample=SLOW_SAMPLE),
        Peer("pandas to_csv + COPY", pandas_csv, note='"" becomes NULL'),
        *_FAST,
        _PSQL,
        _PSQL_BINARY,
    ],
    "load, keys follow those of the table": [*_LOADERS, *_FAST, _PSQL, _PSQL_BINARY],
    "load, keys in between, in random order": [*_LOADERS, *_FAST, _PSQL, _PSQL_BINARY],
    "upsert, half of the keys exist": [
        Peer("load_df(polars)", load_df_update, note='on_conflict="update"'),
        Peer("polars CSV + staging table", staged_polars, note="INSERT ... ON CONFLICT by hand"),
        Peer("psql \\copy + staging table", staged_psql, note="file made beforehand"),
    ],
    "read": [
        Peer("read_df(pandas)", _read("pandas")),
        Peer("read_df(polars)", _read("polars")),
        Peer("read_df(arrow)", _read("arrow")),
        Peer("COPY TO STDOUT, binary", raw_copy, note="nothing decoded: the limit"),
        Peer("ADBC fetch_arrow_table", adbc_fetch, ADBC, note="NUMERIC as opaque text"),
        Peer("ADBC, money as cents", adbc_cents, ADBC, note="the SELECT casts"),
        Peer("connectorx", connectorx_one, CONNECTORX, note="NUMERIC as Decimal(38, 10)"),
        Peer("connectorx, 2 partitions", connectorx_two, CONNECTORX, note="two connections"),
        Peer("CSV COPY + polars", csv_polars, note="types guessed"),
        Peer("pandas read_sql", read_sql, note="NUMERIC as Decimal objects"),
    ],
    "export": [
        Peer("read_batches", batches_only, note="nothing written: the limit"),
        Peer("one Parquet file", export_to("rows.parquet")),
        Peer("--partition-by month", export_to("months", ByPeriod=("timestamp", "month"))),
        Peer("--partition-by day", export_to("days", ByPeriod=("timestamp", "day"))),
        Peer("--buckets 64", export_to("buckets", ByBucket=("customer_id", 64))),
    ],
    "memory": [Peer("load_df(Parquet file)", load_df_parquet_empty)],
}
