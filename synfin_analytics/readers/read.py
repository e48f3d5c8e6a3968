"""From a file of any layout to our three tables, lazily."""

from __future__ import annotations

import contextlib
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import narwhals as nw
import polars as pl

from synfin_analytics._dates import moment_of
from synfin_analytics.exceptions import ArgumentError, refuse_repeated_columns
from synfin_analytics.frames.load import load_df
from synfin_analytics.manager import get_db_manager
from synfin_analytics.readers.known import LAYOUTS, layout_named
from synfin_analytics.readers.layout import Layout, spec_for
from synfin_analytics.wording import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from synfin_analytics.frames.report import LoadReport
    from synfin_analytics.manager import DatabaseManager
    from synfin_analytics.readers.layout import Mapped

#: Rows from which the types of a CSV file's numbers are guessed; texts and ids are not guessed.
_LOOKED_AT = 10_000
_RESEMBLES = 0.5


class Tables(NamedTuple):
    """Three lazy frames that :func:`synfin_analytics.load_df` takes as they are, in this order.

    Every row of the file is there, also what the table of transactions does not accept, as an
    amount of 0.00: the loader lists it. Nothing is read before a frame is loaded or collected.
    """

    customers: pl.LazyFrame
    merchants: pl.LazyFrame
    transactions: pl.LazyFrame

    def load(
        self,
        *,
        session: Session | None = None,
        manager: DatabaseManager | None = None,
        progress: bool | None = None,
    ) -> dict[str, LoadReport]:
        """Load the three tables, in one transaction: all of them or none.

        Transactions that the table refuses are left out, and listed in the report; customers and
        merchants that are there already stay as they are.

        Parameters
        ----------
        session, manager, progress
            As in :func:`synfin_analytics.load_df`.

        Returns
        -------
        dict
            Report of each table by its name.
        """
        with contextlib.ExitStack() as stack:
            if session is None:
                session = stack.enter_context((manager or get_db_manager()).session_scope())
            reports = {}
            for table, frame in self._asdict().items():
                reports[table] = load_df(
                    frame,
                    table,
                    on_invalid="reject" if table == "transactions" else "raise",
                    on_conflict="error" if table == "transactions" else "skip",
                    session=session,
                    progress=progress,
                )
            return reports

    def __repr__(self) -> str:
        columns = len(self.transactions.collect_schema())
        return f"Tables(customers, merchants, transactions: lazy, {columns} columns)"


def read_layout(
    source: Any,
    layout: str | Layout,
    *,
    start: dt.date | str = dt.date(2020, 1, 1),
) -> Tables:
    """Read a file, or a frame, as customers, merchants and transactions.

    Parameters
    ----------
    source
        Path of a Parquet or CSV file or of a folder of Parquet files, several such paths, or a
        frame of pandas, polars or pyarrow.
    layout
        Name of a known layout (see :func:`names`), or one of your own.
    start
        The first day, for layouts that count time in steps and tell no date.

    Returns
    -------
    Tables
        Lazy frames of polars.

    Raises
    ------
    NotFoundError
        There is no such layout; the message names the nearest.
    ArgumentError
        Columns of the layout are not there; the message says which, and what layout the columns
        look like.

    Examples
    --------
    >>> rows = pl.DataFrame({"who": [7, 7], "shop": [1, 2], "eur": [9.5, 0.0], "day": [0, 1]})
    >>> mine = Layout(
    ...     {
    ...         "customer_id": "who",
    ...         "merchant_id": "shop",
    ...         "amount": "eur",
    ...         "timestamp": pl.duration(days="day"),
    ...     }
    ... )
    >>> tables = read_layout(rows, mine, start="2026-03-01")
    >>> tables.customers.collect().rows()
    [('7',)]
    >>> tables.transactions.select("transaction_id", "merchant_id", "amount").collect().rows()
    [('1', '1', 9.5), ('2', '2', 0.0)]
    """
    of = layout if isinstance(layout, Layout) else layout_named(layout)
    frame, what = _opened(source, of)
    try:
        schema = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArgumentError(f"{what} cannot be read: {error}") from None
    missing = [name for name in of.columns if name not in schema]
    if missing:
        noun = "columns" if len(missing) > 1 else "column"
        raise ArgumentError(
            f"{what} is not of the layout {of.name!r}: it lacks the {noun} {listed(missing)}."
            f"{_resemblance(schema.names(), of)}"
        )
    first = moment_of(start, "start")
    mapped = dict(of.transactions)
    mapped.setdefault("transaction_id", pl.int_range(1, pl.len() + 1))
    transactions = frame.select(_columns("transactions", mapped, schema, of))
    moment = transactions.collect_schema()["timestamp"]
    if moment == pl.Duration:
        transactions = transactions.with_columns(pl.col("timestamp") + pl.lit(first))
    elif isinstance(moment, pl.Datetime) and moment.time_zone is None:
        transactions = transactions.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC"))
    return Tables(
        _parents("customers", of.customers, of, frame),
        _parents("merchants", of.merchants, of, frame),
        transactions,
    )


def recognise(columns: Sequence[str]) -> str | None:
    """Name the known layout that all columns of are there; None where there is none.

    Examples
    --------
    >>> recognise(["step", "customer", "amount"]) is None
    True
    """
    for name, layout in LAYOUTS.items():
        if set(layout.columns) <= set(columns):
            return name
    return None


def _opened(source: Any, layout: Layout) -> tuple[pl.LazyFrame, str]:
    if isinstance(source, pl.LazyFrame):
        return source, "The frame"
    if isinstance(source, str | Path):
        return _scanned([Path(source)], layout), repr(str(source))
    if isinstance(source, list | tuple) and source:
        return _scanned([Path(one) for one in source], layout), repr(str(source[0]))
    refuse_repeated_columns(source)
    try:
        frame = nw.from_native(source, eager_only=True)
    except TypeError:
        raise ArgumentError(
            "A layout is read from a path of a Parquet or CSV file, or a frame of pandas, polars "
            f"or pyarrow; got {type(source).__name__}."
        ) from None
    known = [name for name in layout.columns if name in frame.columns]
    # Of the others only the names are wanted, for a message.
    if len(known) < len(layout.columns):
        return pl.LazyFrame({name: [] for name in frame.columns}), "The frame"
    return frame.select(*known).to_polars().lazy(), "The frame"


def _scanned(paths: list[Path], layout: Layout) -> pl.LazyFrame:
    for path in paths:
        if not path.exists():
            raise ArgumentError(f"There is no file {str(path)!r}.")
    endings = {".csv" if ".csv" in path.suffixes else path.suffix for path in paths}
    if endings == {".csv"}:
        return _scanned_csv(paths, layout)
    if endings <= {".parquet", ".pq", ""}:
        files = [
            one
            for path in paths
            for one in (sorted(path.rglob("*.parquet")) if path.is_dir() else [path])
        ]
        if files:
            return pl.scan_parquet(files)
    raise ArgumentError(
        f"{str(paths[0])!r} is neither a Parquet nor a CSV file, by its name. Read it into a frame "
        "(as pandas.read_pickle does) and give that."
    )


def _scanned_csv(paths: list[Path], layout: Layout) -> pl.LazyFrame:
    try:
        guessed = pl.scan_csv(paths[0], infer_schema_length=_LOOKED_AT).collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArgumentError(f"{str(paths[0])!r} cannot be read as CSV: {error}.") from None
    types: dict[str, pl.DataType] = {}
    for table in ("transactions", "customers", "merchants"):
        for name, source in getattr(layout, table).items():
            if not isinstance(source, str) or source not in guessed:
                continue
            kind = spec_for(table).columns[name].kind
            if kind == "text":
                types[source] = pl.String()
            elif kind in ("decimal", "number") and guessed[source].is_integer():
                types[source] = pl.Float64()  # there may be cents further down
    return pl.scan_csv(paths, infer_schema_length=_LOOKED_AT, schema_overrides=types)


def _columns(table: str, mapped: Mapped, schema: pl.Schema, layout: Layout) -> list[pl.Expr]:
    """Columns of a table as they stand in the file.

    Texts of moments and days are read where it is known how they are written; others are the
    loader's, which tells those that are none: of 03/04 nobody here knows which is the month.
    """
    found, known = [], layout in LAYOUTS.values()
    for name, source in mapped.items():
        column = pl.col(source) if isinstance(source, str) else source
        kind = spec_for(table).columns[name].kind
        textual = known and isinstance(source, str) and schema[source] == pl.String
        if kind == "text":
            column = column.cast(pl.String)
        elif textual and kind == "moment":
            column = column.str.to_datetime(time_unit="us")
        elif textual and kind == "day":
            column = column.str.to_date()
        found.append(column.alias(name))
    return found


def _parents(table: str, mapped: Mapped, layout: Layout, frame: pl.LazyFrame) -> pl.LazyFrame:
    """One row for each customer or merchant, with what all rows agree on."""
    key = f"{table.removesuffix('s')}_id"
    mapped = {key: layout.transactions[key]} | dict(mapped)
    rows = frame.select(_columns(table, mapped, frame.collect_schema(), layout))
    rows = rows.filter(pl.col(key).is_not_null())
    others = [pl.col(name) for name in mapped if name != key]
    agreed = [pl.when(each.min() == each.max()).then(each.min()) for each in others]
    return rows.group_by(key).agg(*agreed).sort(key)


def _resemblance(columns: Sequence[str], but: Layout) -> str:
    shares = {
        name: len(set(layout.columns) & set(columns)) / len(layout.columns)
        for name, layout in LAYOUTS.items()
        if layout is not but
    }
    best = max(shares, key=lambda name: shares[name])
    if shares[best] >= _RESEMBLES:
        how = "is" if shares[best] == 1 else "looks like"
        return f" It {how} the layout {best!r}."
    shown = ", ".join(map(repr, columns[:12])) or "none"
    return f" Its columns are {shown}{', …' if len(columns) > 12 else ''}."
