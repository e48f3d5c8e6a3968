"""SQL expressions of fraud rates: groups of rows, and counts by cluster."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, DateTime, Double, Integer, case, cast, func, or_, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, array

from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._clusters import SQUARES, VALUED, sums_over_clusters, way_column
from synfin_analytics.repositories._arguments import minor_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Select

    from synfin_analytics._core.dates import Period
    from synfin_analytics.metrics._aggregate import Bins
    from synfin_analytics.metrics._clusters import Clusters

_EPOCH, _MONDAY = (
    cast(day, DateTime(timezone=True)) for day in ("1970-01-01T00:00Z", "1970-01-05T00:00Z")
)
_ZERO = cast(0.0, Double)
#: PostgreSQL's names of periods, by their number of months.
_MONTHS = {1: "month", 3: "quarter", 12: "year"}


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
