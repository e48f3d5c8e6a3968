"""From a file of any layout to our three tables, lazily."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from synfin_analytics._core.dates import moment_of
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.formatting import join_words
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.database.manager import get_db_manager
from synfin_analytics.exceptions import (
    ArgumentError,
    RejectedLabelsWarning,
    refuse_repeated_columns,
)
from synfin_analytics.io._sources import Unread, attach_unread
from synfin_analytics.io.layouts._cells import ROW, cells_of, typed
from synfin_analytics.io.layouts._scan import scan, schema_of
from synfin_analytics.io.layouts.known import LAYOUTS, VARIANTS, layout_named, variant_for
from synfin_analytics.io.layouts.layout import Layout, spec_for
from synfin_analytics.io.load import load_df

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.layouts._cells import Cells
    from synfin_analytics.io.layouts._scan import Scan
    from synfin_analytics.io.layouts.layout import Mapped
    from synfin_analytics.io.load._load_df import OnInvalid
    from synfin_analytics.io.load.report import LoadReport

_RESEMBLES = 0.5
#: No column of customers or merchants counts from a first day.
_NO_START = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Tables(NamedTuple):
    """Three lazy frames that :func:`synfin_analytics.load_df` takes as they are, in this order.

    Every row of the file is there, also what the table of transactions does not accept, as an
    amount of 0.00: the loader lists it. Nothing is read before a frame is loaded or collected. A
    cell that cannot be read, as an amount "n/a", is an error when its column is collected; a load
    refuses that row.
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
        """Load the three tables, in one transaction: all of them or none.

        Customers and merchants that are there already stay as they are. If no transaction is
        loaded, no customer and no merchant is.

        Parameters
        ----------
        on_invalid
            ``"raise"``: one error that lists every problem of a table, and nothing is loaded.
            ``"reject"``: the good rows are loaded, the others are in ``.rejected`` of the reports.
        session, manager, progress
            As in :func:`synfin_analytics.load_df`.

        Returns
        -------
        dict
            Report of each table by its name. That of the transactions says how many of the
            refused rows are labelled fraud.

        Raises
        ------
        InvalidDataError
            Rows are not as a table wants them.

        Warns
        -----
        RejectedLabelsWarning
            The fraud rate of the refused rows is another than that of the others.
        """
        with contextlib.ExitStack() as stack:
            if session is None:
                session = stack.enter_context((manager or get_db_manager()).session_scope())
            reports = {}
            together = session.begin_nested()
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
                if together.is_active:
                    together.rollback()
                raise
            transactions = reports["transactions"]
            if transactions.rejected_rows and not transactions.inserted:
                together.rollback()
                for table in ("customers", "merchants"):
                    reports[table] = dataclasses.replace(reports[table], inserted=0)
            else:
                together.commit()
        labels = transactions.labels
        if labels is not None and labels.fraud_rate_changed:
            warnings.warn(str(labels), RejectedLabelsWarning, stacklevel=2)
        return reports

    def __repr__(self) -> str:
        columns = len(self.transactions.collect_schema())
        return f"Tables(customers, merchants, transactions: lazy, {columns} columns)"


def read_layout(
    df: Any,
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
        of Parquet files, several such paths, or a frame of any kind that
        :func:`synfin_analytics.load_df` takes.
    layout
        Name of a known layout (see :func:`list_layouts`), or one of your own.
    start
        The first day, for layouts that count time in steps and have no dates. UTC, unless it has
        an offset.
    separator, encoding, decimal, thousands, date_format, timezone, currency
        How a file is written, as in :func:`synfin_analytics.load_df`.

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
    options = ReadOptions(separator, encoding, decimal, thousands, date_format, timezone, currency)
    first = moment_of(start, "start")
    if first is None:
        raise ArgumentError("`start` must be a date or a time; got None.")
    of = layout if isinstance(layout, Layout) else layout_named(layout)
    require_thread_pool()
    known = of in LAYOUTS.values()
    opened = scan(df, options, (of, *VARIANTS.get(of.name, ())) if known else (of,))
    schema = schema_of(opened)
    refuse_repeated_columns(schema.names())
    of = variant_for(of, schema.names())
    missing = [name for name in of.columns if name not in schema]
    if missing:
        noun = "columns" if len(missing) > 1 else "column"
        raise ArgumentError(
            f"{opened.name} is not of the layout {of.name!r}: it lacks the {noun} "
            f"{join_words(missing)}.{_resemblance(schema.names(), of)} {opened.note}".rstrip()
        )
    textual = opened.texts
    if known:  # it is known how their texts are written
        textual |= {name for name, dtype in schema.items() if dtype == pl.String}
    opened = dataclasses.replace(opened, texts=textual)
    mapped = dict(of.transactions)
    mapped.setdefault("transaction_id", pl.int_range(1, pl.len() + 1))
    return Tables(
        _parents("customers", of, opened, options),
        _parents("merchants", of, opened, options),
        _table(
            "transactions", _cells("transactions", mapped, opened, options), opened, first, options
        ),
    )


def detect_layout(columns: Sequence[str]) -> str | None:
    """Name the known layout that all columns of are there; None where there is none.

    Examples
    --------
    >>> detect_layout(["step", "customer", "amount"]) is None
    True
    """
    for name, layout in LAYOUTS.items():
        if set(variant_for(layout, columns).columns) <= set(columns):
            return name
    return None


def _cells(table: str, mapped: Mapped, opened: Scan, options: ReadOptions) -> list[Cells]:
    schema = schema_of(opened)
    columns = spec_for(table).columns
    return [
        cells_of(source, columns[name], schema, opened.texts, options)
        for name, source in mapped.items()
    ]


def _table(
    table: str,
    cells: Sequence[Cells],
    opened: Scan,
    first: dt.datetime,
    options: ReadOptions,
    rows: pl.LazyFrame | None = None,
) -> pl.LazyFrame:
    """Rows in types for the user, with those behind them that the loader reads."""
    if rows is None:
        rows = opened.frame.select(column for one in cells for column in one.columns)
    moments = [one.name for one in cells if rows.collect_schema()[one.name] == pl.Duration]
    rows = rows.with_columns(pl.col(moments) + pl.lit(first))
    schema = rows.collect_schema()
    what = f"{opened.name} as {table}"
    frame = rows.with_row_index(ROW).select(
        typed(one, schema[one.name], options, what) for one in cells
    )
    unread = Unread(
        rows,
        options=options if options.about_texts else None,
        texts=frozenset(one.name for one in cells if one.textual),
        reasons={one.name: one.reason for one in cells if one.faulty},
        note=opened.note,
    )
    attach_unread(frame, unread)
    return frame


def _parents(table: str, of: Layout, opened: Scan, options: ReadOptions) -> pl.LazyFrame:
    """One row for each customer or merchant, with what all rows agree on."""
    key = f"{table.removesuffix('s')}_id"
    mapped = {key: of.transactions[key]} | dict(getattr(of, table))
    cells = _cells(table, mapped, opened, options)
    rows = opened.frame.select(column for one in cells for column in one.columns)
    rows = rows.filter(pl.col(key).is_not_null())
    agreed: list[pl.Expr] = []
    for one in cells[1:]:
        value = pl.col(one.name)
        agreed.append(pl.when(value.min() == value.max()).then(value.min()))
        if one.faulty:
            agreed.append(pl.col(one.faulty).drop_nulls().first())
    if cells[0].faulty:  # a key that could not be computed is no key
        agreed.append(pl.col(cells[0].faulty).first())
    rows = rows.group_by(key).agg(*agreed).sort(key)
    return _table(table, cells, opened, _NO_START, options, rows)


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
