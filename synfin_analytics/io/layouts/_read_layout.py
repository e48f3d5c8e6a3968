"""From a file of any layout to customers, merchants and transactions, lazily."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import warnings
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from synfin_analytics._core.dates import parse_time
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.formatting import join_words
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.exceptions import (
    ArgumentError,
    RejectedLabelsWarning,
    require_unique_columns,
)
from synfin_analytics.io._source import require_named
from synfin_analytics.io.layouts._mapping import ROW, map_column, parse_column
from synfin_analytics.io.layouts._scan import scan, schema_of
from synfin_analytics.io.layouts.known import (
    LAYOUTS,
    find_without_customers,
    get_layout,
    select_variant,
    variants_of,
)
from synfin_analytics.io.layouts.layout import Layout, spec_for
from synfin_analytics.io.load import load_df
from synfin_analytics.io.sources import RawRows, attach_raw_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from synfin_analytics._core.types import DataSource
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.layouts._mapping import MappedColumn
    from synfin_analytics.io.layouts._scan import Scan
    from synfin_analytics.io.layouts.layout import ColumnMapping
    from synfin_analytics.io.load.types import LoadReport, OnInvalid

#: Share of its columns from which on a layout is suggested.
_MIN_SIMILARITY = 0.5
#: No column of customers or merchants counts from a first day.
_NO_START = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Tables(NamedTuple):
    """Three lazy frames, in the order in which :func:`synfin_analytics.load_df` can load them.

    They have every row of the file, also those that the table rejects, such as an amount of 0.00.
    Nothing is read before a frame is loaded or collected. A cell that cannot be parsed, such as an
    amount "n/a", is an error when its column is collected; a load rejects that row.

    Attributes
    ----------
    customers, merchants, transactions
        Frames with the columns and types of the tables.

    Examples
    --------
    >>> import polars as pl
    >>> from synfin_analytics import Layout, read_layout
    >>> layout = Layout(
    ...     {"customer_id": "who", "merchant_id": "shop", "amount": "paid", "timestamp": "at"}
    ... )
    >>> df = pl.DataFrame({"who": ["a"], "shop": ["s"], "paid": [9.5], "at": ["2026-03-01"]})
    >>> tables = read_layout(df, layout)
    >>> tables.customers.collect()["customer_id"].to_list()
    ['a']
    """

    customers: pl.LazyFrame
    merchants: pl.LazyFrame
    transactions: pl.LazyFrame

    def load(
        self,
        *,
        on_invalid: OnInvalid = "raise",
        session: Session | None = None,
        manager: DatabaseManager | None = None,
        progress: bool | None = None,
    ) -> dict[str, LoadReport]:
        """Load the three tables in one transaction: all of them or none.

        Customers and merchants that exist stay as they are. If no transaction is loaded, no
        customer and no merchant is loaded.

        Parameters
        ----------
        on_invalid
            ``"raise"``: one error lists every problem of a table, and nothing is loaded.
            ``"reject"``: the valid rows are loaded; the others are in ``.rejected`` of the reports.
        session, manager, progress
            As in :func:`synfin_analytics.load_df`.

        Returns
        -------
        dict
            Report of each table by its name. The report of the transactions counts how many of the
            rejected rows are labelled fraud.

        Raises
        ------
        InvalidDataError
            A table does not accept the rows.

        Warns
        -----
        RejectedLabelsWarning
            The fraud rate of the rejected rows differs from that of the others.

        Examples
        --------
        >>> rows = pl.DataFrame({"who": ["C1"], "shop": ["M1"], "eur": [9.5], "day": [0]})
        >>> layout = Layout(
        ...     {
        ...         "customer_id": "who",
        ...         "merchant_id": "shop",
        ...         "amount": "eur",
        ...         "timestamp": pl.duration(days="day"),
        ...     }
        ... )
        >>> from synfin_analytics import DatabaseManager
        >>> manager = DatabaseManager()
        >>> manager.create_all_tables()
        >>> with manager.get_session() as session:  # without session.commit(), a dry run
        ...     reports = read_layout(rows, layout).load(session=session)
        >>> {table: report.inserted for table, report in reports.items()}
        {'customers': 1, 'merchants': 1, 'transactions': 1}
        >>> manager.close()
        """
        with contextlib.ExitStack() as stack:
            if session is None:
                session = stack.enter_context((manager or get_db_manager()).session_scope())
            reports = {}
            savepoint = session.begin_nested()
            try:
                for table, frame in self._asdict().items():
                    reports[table] = load_df(
                        frame,
                        table,
                        on_invalid=on_invalid,
                        on_conflict="error" if table == "transactions" else "skip",
                        session=session,
                        progress=progress,
                    )
            except BaseException:
                if savepoint.is_active:
                    savepoint.rollback()
                raise
            transactions = reports["transactions"]
            if transactions.rejected_rows and not transactions.inserted:
                savepoint.rollback()
                for table in ("customers", "merchants"):
                    reports[table] = dataclasses.replace(reports[table], inserted=0)
            else:
                savepoint.commit()
        labels = transactions.labels
        if labels is not None and labels.fraud_rate_changed:
            warnings.warn(str(labels), RejectedLabelsWarning, stacklevel=2)
        return reports

    def __repr__(self) -> str:
        columns = len(self.transactions.collect_schema())
        return f"Tables(customers, merchants, transactions: lazy, {columns} columns)"


def read_layout(
    df: DataSource | Sequence[str | Path],
    layout: str | Layout,
    *,
    start: dt.date | str = dt.date(2020, 1, 1),
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
    currency: bool | str = False,
) -> Tables:
    """Read a file, or a frame, as customers, merchants and transactions.

    Parameters
    ----------
    df
        Path of a file (Parquet, CSV, JSON lines, Excel or Arrow, also compressed) or of a folder
        of Parquet files, several such paths, or any frame that :func:`synfin_analytics.load_df`
        accepts. Several files are concatenated, or joined if the layout has a ``join_on``.
    layout
        Name of a known layout (see :func:`synfin_analytics.io.layouts.list_layouts`), or your own
        :class:`Layout`.
    start
        The first day, for layouts that count time in steps and have no dates. UTC, unless it has
        an offset.
    separator, encoding, decimal, thousands, date_format, timezone, currency
        How a file is written, as in :func:`synfin_analytics.load_df`.

    Returns
    -------
    Tables
        Lazy polars frames.

    Raises
    ------
    NotFoundError
        There is no such layout; the message names the nearest.
    ArgumentError
        Columns of the layout are missing; the message names them, and a layout that the columns
        resemble.

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
    options = ReadOptions(separator, encoding, decimal, thousands, date_format, timezone, currency)
    first = parse_time(start, "start")
    if first is None:
        raise ArgumentError("`start` must be a date or a time; got None.")
    if not isinstance(layout, Layout):
        layout = get_layout(layout)
    require_thread_pool()
    is_known = layout in LAYOUTS.values()
    opened = scan(df, options, variants_of(layout))
    schema = schema_of(opened)
    require_unique_columns(schema.names())
    layout = select_variant(layout, schema.names())
    missing = [name for name in layout.columns if name not in schema]
    if missing:
        noun = "columns" if len(missing) > 1 else "column"
        raise ArgumentError(
            f"{opened.name} does not have the layout {layout.name!r}: it lacks the {noun} "
            f"{join_words(missing)}.{_hint(schema.names(), layout)} {opened.note}".rstrip()
        )
    require_named(opened.repeated, layout.columns)
    textual = opened.texts
    if is_known:  # the format of their texts is known
        textual |= {name for name, dtype in schema.items() if dtype == pl.String}
    opened = dataclasses.replace(opened, texts=textual)
    mapping: dict[str, str | pl.Expr] = dict(layout.transactions)
    mapping.setdefault("transaction_id", pl.int_range(1, pl.len() + 1))
    return Tables(
        _build_parents("customers", layout, opened, options),
        _build_parents("merchants", layout, opened, options),
        build_transactions(mapping, opened, options, first),
    )


def build_transactions(
    mapping: ColumnMapping, opened: Scan, options: ReadOptions, first: dt.datetime = _NO_START
) -> pl.LazyFrame:
    """Map columns of a file to those of transactions; ``load_df`` validates the cells."""
    columns = _map_columns("transactions", mapping, opened, options)
    rows = opened.frame.select(expression for column in columns for expression in column.columns)
    return _build_table("transactions", columns, rows, opened, first, options)


def detect_layout(columns: Sequence[str]) -> str | None:
    """Return the name of the known layout whose columns all exist; None if there is none.

    Parameters
    ----------
    columns
        Names of the columns of a file.

    Returns
    -------
    str or None
        Name of the layout.

    Examples
    --------
    >>> detect_layout(["step", "customer", "amount"]) is None
    True
    """
    for name, layout in LAYOUTS.items():
        if set(select_variant(layout, columns).columns) <= set(columns):
            return name
    return None


def _map_columns(
    table: str, mapping: ColumnMapping, opened: Scan, options: ReadOptions
) -> list[MappedColumn]:
    schema = schema_of(opened)
    specs = spec_for(table).columns
    return [
        map_column(source, specs[name], schema, opened.texts, options)
        for name, source in mapping.items()
    ]


def _build_table(
    table: str,
    columns: Sequence[MappedColumn],
    rows: pl.LazyFrame,
    opened: Scan,
    first: dt.datetime,
    options: ReadOptions,
) -> pl.LazyFrame:
    """Build the frame for the user, and attach the raw rows for the loader."""
    schema = rows.collect_schema()
    durations = [column.name for column in columns if schema[column.name] == pl.Duration]
    rows = rows.with_columns(pl.col(durations) + pl.lit(first))
    schema = rows.collect_schema()
    source = f"{opened.name} as {table}"
    frame = rows.with_row_index(ROW).select(
        parse_column(column, schema[column.name], options, source) for column in columns
    )
    raw_rows = RawRows(
        rows,
        options=options if options.has_text_options else None,
        texts=frozenset(column.name for column in columns if column.textual),
        reasons={column.name: column.reason for column in columns if column.failed},
        note=opened.note,
    )
    attach_raw_rows(frame, raw_rows)
    return frame


def _build_parents(table: str, layout: Layout, opened: Scan, options: ReadOptions) -> pl.LazyFrame:
    """Build one row for each customer or merchant, with the values that all its rows share."""
    key = f"{table.removesuffix('s')}_id"
    mapping: Mapping[str, str | pl.Expr] = {key: layout.transactions[key]} | dict(
        getattr(layout, table)
    )
    columns = _map_columns(table, mapping, opened, options)
    rows = opened.frame.select(expression for column in columns for expression in column.columns)
    rows = rows.filter(pl.col(key).is_not_null())
    aggregates: list[pl.Expr] = []
    for column in columns[1:]:
        value = pl.col(column.name)
        aggregates.append(pl.when(value.min() == value.max()).then(value.min()))
        if column.failed:
            aggregates.append(pl.col(column.failed).drop_nulls().first())
    if columns[0].failed:  # a key that could not be computed
        aggregates.append(pl.col(columns[0].failed).first())
    rows = rows.group_by(key).agg(*aggregates).sort(key)
    return _build_table(table, columns, rows, opened, _NO_START, options)


def _hint(columns: Sequence[str], other_than: Layout) -> str:
    """Name a layout that the columns resemble, or list the columns."""
    known = find_without_customers(columns)
    if known is not None:
        return (
            f" {known} names no customers and no merchants, and cannot become the three tables. "
            "fraud_rate, evaluate and the reports work directly on the frame: suggest_columns(df) "
            "writes the calls."
        )
    shares = {
        name: len(set(layout.columns) & set(columns)) / len(layout.columns)
        for name, layout in LAYOUTS.items()
        if layout is not other_than
    }
    best = max(shares, key=lambda name: shares[name])
    if shares[best] >= _MIN_SIMILARITY:
        verb = "is" if shares[best] == 1 else "resembles"
        return f" It {verb} the layout {best!r}."
    names = ", ".join(map(repr, columns[:12])) or "none"
    return f" Its columns are {names}{', …' if len(columns) > 12 else ''}."
