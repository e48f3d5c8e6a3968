"""SQL that counts: sums of money, groups and clusters of rows, and settings of the planner."""

from __future__ import annotations

import contextlib
import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import (
    BigInteger,
    Boolean,
    DateTime,
    Double,
    Integer,
    case,
    cast,
    func,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, array

from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._clusters import SQUARES, VALUED, sums_over_clusters, way_column
from synfin_analytics.metrics._triangle import (
    COHORT,
    EARLY,
    KNOWN,
    LAST_LABEL,
    LAST_TRANSACTION,
    TIMED,
    UNTIMED_FRAUDS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import InstrumentedAttribute, Session

    from synfin_analytics._core.dates import Period
    from synfin_analytics.metrics._aggregate import Bins
    from synfin_analytics.metrics._clusters import Clusters

_EPOCH, _MONDAY = (
    cast(day, DateTime(timezone=True)) for day in ("1970-01-01T00:00Z", "1970-01-05T00:00Z")
)
_ZERO = cast(0.0, Double)
#: PostgreSQL's names of periods, by their number of months.
_MONTHS = {1: "month", 3: "quarter", 12: "year"}
#: Slices of time: enough for a few processors, and few enough, as each one may scan the table.
N_SLICES = 4
#: Count each slice with one processor and in memory. By default several share a slice, whose counts
#: must then be merged.
BY_SLICE = {
    "hash_mem_multiplier": "8",
    "parallel_tuple_cost": "0",
    "min_parallel_table_scan_size": "1TB",
    "min_parallel_index_scan_size": "1TB",
}
#: Hash joins. PostgreSQL has no statistics about rows that have just been loaded: it assumes few,
#: would compare each row with every other.
HASH_JOINS = {"enable_nestloop": "off"}


# -- Money -----------------------------------------------------------------------------------------


def sum_money(column: InstrumentedAttribute[Decimal], where: ColumnElement[bool]) -> Any:
    """Sum of money as a double; 0 for no rows.

    It is exact in any order, and takes half the time of a sum of NUMERIC: a double holds the number
    of cents of any amount, and their sum below 2**53. The cast goes through an integer because
    PostgreSQL converts NUMERIC to double through its text.
    """
    return func.coalesce(func.sum(in_minor_units(column)).filter(where) / minor_units(column), 0.0)


def sum_where(number: ColumnElement[Any], where: ColumnElement[bool]) -> ColumnElement[Any]:
    """Sum of doubles; 0 for no rows."""
    return func.coalesce(func.sum(number).filter(where), 0.0)


def in_minor_units(column: InstrumentedAttribute[Decimal]) -> ColumnElement[float]:
    """Money in cents, as a double; see :func:`sum_money`."""
    return cast(cast(column * int(minor_units(column)), BigInteger), Double)


def minor_units(column: InstrumentedAttribute[Decimal]) -> float:
    """Return the number of minor units in one unit: 100, for cents."""
    return float(10**column.type.scale)  # of NUMERIC(p, s)


# -- Groups and clusters ---------------------------------------------------------------------------


def period_start(timestamp: ColumnElement[Any], period: Period) -> ColumnElement[Any]:
    """Start of the period of each row, or its number (:meth:`Period.number`)."""
    if period.unit != "month":
        # Periods of a fixed length need no calendar, which is faster.
        length = cast(f"{period.length} {period.unit}", INTERVAL)
        return func.date_bin(length, timestamp, _MONDAY if period.weeks else _EPOCH)
    if period.length in _MONTHS:
        return func.date_trunc(_MONTHS[period.length], timestamp, "UTC")
    in_utc = func.timezone("UTC", timestamp)
    year, month = (cast(func.date_part(part, in_utc), Integer) for part in ("year", "month"))
    months = (year - 1970) * 12 + month - 1
    return func.floor(cast(months, Double) / float(period.length))


def bin_number(column: ColumnElement[Any], band: Bins) -> ColumnElement[Any]:
    """Return the number of the bin of each row."""
    if not issubclass(column.type.python_type, int | float | Decimal) or isinstance(
        column.type, Boolean
    ):
        raise ArgumentError(f"Column {band.column!r} must be a number to be grouped into bins.")
    # No number of the table is NaN (see `_core.validation.rules`).
    number = func.width_bucket(cast(column, Double), cast(array(band.edges), ARRAY(Double)))
    return func.coalesce(number, band.missing).label(band.key)


def count_rows(rows: Select[Any], *, keys: Sequence[str], clusters: Clusters) -> Select[Any]:
    """Count rows by group; with clusters also the squares of their counts.

    Parameters
    ----------
    rows
        Query with the columns ``keys``, the keys of ``clusters``, ``is_fraud``, and ``amount`` in
        minor units.
    keys, clusters
        Columns to group by, and the clusters.
    """
    row = rows.subquery().c
    groups = [row[key] for key in keys]
    fraud, labelled = row.is_fraud.is_(True), row.is_fraud.is_not(None)
    squared = row.amount * row.amount
    counts: dict[str, ColumnElement[Any]] = {
        "transactions": func.count(),
        "labelled": func.count(row.is_fraud),
        "frauds": func.count().filter(fraud),
        "amount": func.sum(row.amount).filter(labelled),
        "fraud_amount": func.sum(row.amount).filter(fraud),
        SQUARES[0]: func.sum(squared).filter(labelled),
        SQUARES[1]: func.sum(squared).filter(fraud),
    }
    if not clusters.columns:
        totals: dict[str, ColumnElement[Any]] = {
            name: cast(count, Double) for name, count in counts.items()
        }
        return select(*groups, *_in_units(totals)).group_by(*groups)
    names = [
        *counts,
        *(
            way_column(index, name)
            for index in range(len(clusters.ways))
            for name in sums_over_clusters(value=True)
        ),
    ]
    parts = []
    for index, way in enumerate(clusters.ways):
        ways = [row[key] for key in way]
        columns = (cast(count, Double).label(name) for name, count in counts.items())
        cells = select(*groups, *ways, *columns).group_by(*groups, *ways)
        cell = cells.subquery().c
        own = {way_column(index, name): func.sum(term) for name, term in _terms(cell, way).items()}
        own |= {name: func.sum(cell[name]) for name in counts if not index}
        by_group = [cell[key] for key in keys]
        parts.append(
            select(*by_group, *(own.get(name, _ZERO).label(name) for name in names)).group_by(
                *by_group
            )
        )
    # GROUPING SETS would read the rows once, but with one processor only.
    united = union_all(*parts).subquery().c
    totals = {name: func.sum(united[name]) for name in names}
    by_group = [united[key] for key in keys]
    return select(*by_group, *_in_units(totals)).group_by(*by_group)


def label_columns(label: ColumnElement[Any], period: Period) -> list[ColumnElement[Any]]:
    """Return what :func:`count_labels` needs of a transaction.

    Parameters
    ----------
    label
        Its label, NULL if it is not known.
    period
        Length of a cohort.
    """
    table = Transaction.__table__.c
    known_at = func.greatest(table.timestamp, table.label_available_at)  # ignores NULL
    return [
        period_start(table.timestamp, period).label(COHORT),
        case((label.is_not(None), period_start(known_at, period))).label(KNOWN),
        table.timestamp,
        label.label("is_fraud"),
        table.label_available_at,
        in_minor_units(Transaction.amount).label("amount"),
    ]


def count_labels(rows: Select[Any], *, keys: Sequence[str]) -> Select[Any]:
    """Count rows by group, cohort and period of the label.

    Parameters
    ----------
    rows
        Query with the columns ``keys`` and :func:`label_columns`.
    keys
        Columns to group by, without the two periods.
    """
    row = rows.subquery().c
    groups = [row[key] for key in (*keys, COHORT, KNOWN)]
    fraud, labelled = row.is_fraud.is_(True), row.is_fraud.is_not(None)
    available = row.label_available_at
    counts: dict[str, ColumnElement[Any]] = {
        "transactions": func.count(),
        "labelled": func.count(row.is_fraud),
        "frauds": func.count().filter(fraud),
        TIMED: func.count(available).filter(labelled),
        UNTIMED_FRAUDS: func.count().filter(fraud & available.is_(None)),
        EARLY: func.count().filter(labelled & (available < row.timestamp)),
        "amount": func.sum(row.amount),
        "fraud_amount": func.sum(row.amount).filter(fraud),
    }
    lasts = {
        LAST_TRANSACTION: func.max(row.timestamp),
        LAST_LABEL: func.max(available).filter(labelled),
    }
    totals: dict[str, ColumnElement[Any]] = {
        name: cast(count, Double) for name, count in counts.items()
    }
    return select(
        *groups, *_in_units(totals), *(last.label(name) for name, last in lasts.items())
    ).group_by(*groups)


def _terms(cell: Any, way: Sequence[str]) -> dict[str, ColumnElement[Any]]:
    """Terms that a cluster, or rows without a cluster, add to the sums of a way to cluster."""
    n, k = cell.labelled, cell.frauds
    amount, fraud = (func.coalesce(cell[name], 0.0) for name in ("amount", "fraud_amount"))
    amounts, frauds = (func.coalesce(cell[name], 0.0) for name in SQUARES)
    sums = {
        "frauds_squared": (k * k, k),
        "frauds_labelled": (k * n, k),
        "labelled_squared": (n * n, n),
        "clusters": (cast(cast(n > 0, Integer), Double), n),
        "with_fraud": (cast(cast(k > 0, Integer), Double), k),
        "with_genuine": (cast(cast(n > k, Integer), Double), n - k),
        "fraud_squared": (fraud * fraud, frauds),
        "fraud_amount": (fraud * amount, frauds),
        "amount_squared": (amount * amount, amounts),
    }
    missing = or_(*(cell[key].is_(None) for key in way))
    return {
        name: case((missing, of_rows), else_=of_cluster)
        for name, (of_cluster, of_rows) in sums.items()
    }


def _in_units(totals: Mapping[str, ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    """Return sums, 0 for no rows, with money in the unit of the table instead of minor units."""
    unit = minor_units(Transaction.amount)
    powers = {"amount": unit, "fraud_amount": unit, **dict.fromkeys(SQUARES, unit**2)}
    powers |= {way_column(way, name): unit**2 for way in range(3) for name in VALUED}
    return [
        (func.coalesce(total, 0.0) / powers.get(name, 1.0)).label(name)
        for name, total in totals.items()
    ]


# -- Settings of the planner -----------------------------------------------------------------------


@contextlib.contextmanager
def query_settings(session: Session, settings: dict[str, str]) -> Iterator[None]:
    """Run the queries of a block with other settings of the server."""
    before = session.execute(select(*map(func.current_setting, settings))).one()
    _set(session, settings)
    yield  # an error ends the transaction, and the settings with it
    _set(session, dict(zip(settings, before, strict=True)))


def _set(session: Session, settings: dict[str, str]) -> None:
    session.execute(select(*(func.set_config(*setting, True) for setting in settings.items())))


def time_slices(
    session: Session,
    timestamp: InstrumentedAttribute[dt.datetime],
    period: Period,
    where: Sequence[ColumnElement[bool]],
) -> list[list[ColumnElement[bool]]]:
    """Conditions that divide rows into slices of time at boundaries of periods.

    No group by time spans two slices. Each slice is therefore counted separately, by another
    processor, with a hash table that is small enough for its cache.
    """
    ends = (func.timezone("UTC", end) for end in (func.min(timestamp), func.max(timestamp)))
    first, last = session.execute(select(*ends).where(*where)).one()
    if first is None:
        return [[]]
    cuts = _cuts(np.datetime64(first, "us"), np.datetime64(last, "us"), period)
    conditions: list[list[ColumnElement[bool]]] = [[] for _ in range(len(cuts) + 1)]
    for index, cut in enumerate(cuts):
        conditions[index].append(timestamp < cut)
        conditions[index + 1].append(timestamp >= cut)
    return conditions


def _cuts(first: np.datetime64, last: np.datetime64, period: Period) -> list[dt.datetime]:
    """Choose starts of periods between two times, approximately equidistant.

    Examples
    --------
    >>> from synfin_analytics._core.dates import Period
    >>> ends = np.array(["2026-01-01T10:00", "2026-01-05T09:00"], "datetime64[us]")
    >>> [f"{cut:%d %H:%M}" for cut in _cuts(*ends, Period.parse("1d"))]
    ['02 00:00', '03 00:00', '04 00:00']
    """
    steps = first + (last - first) * np.arange(1, N_SLICES) // N_SLICES
    starts: Any = np.unique(period.start(steps))
    return [start.replace(tzinfo=dt.UTC) for start in starts[starts > first].tolist()]
