"""Fraud rates inside PostgreSQL: what groups rows, and how they are counted by cluster."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, DateTime, Double, Integer, case, cast, func, or_, select, union_all
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, array

from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._clusters import SQUARES, VALUED, sums_over_clusters, way_column
from synfin_analytics.repositories._arguments import unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Select

    from synfin_analytics._core.frequency import Period
    from synfin_analytics.metrics._clusters import Clusters
    from synfin_analytics.metrics._grouping import Bins

_EPOCH, _MONDAY = (
    cast(day, DateTime(timezone=True)) for day in ("1970-01-01T00:00Z", "1970-01-05T00:00Z")
)
_ZERO = cast(0.0, Double)
#: Months of a period that PostgreSQL has a name for.
_NAMES = {1: "month", 3: "quarter", 12: "year"}


def period_of(moment: ColumnElement[Any], period: Period) -> ColumnElement[Any]:
    """First moment of the period of each row, or its number (:meth:`Period.number`)."""
    if period.unit != "month":
        # What always lasts as long takes no calendar, and less time.
        length = cast(f"{period.length} {period.unit}", INTERVAL)
        return func.date_bin(length, moment, _MONDAY if period.weeks else _EPOCH)
    if period.length in _NAMES:
        return func.date_trunc(_NAMES[period.length], moment, "UTC")
    at = func.timezone("UTC", moment)
    year, month = (cast(func.date_part(part, at), Integer) for part in ("year", "month"))
    months = (year - 1970) * 12 + month - 1
    return func.floor(cast(months, Double) / float(period.length))


def band_of(column: ColumnElement[Any], band: Bins) -> ColumnElement[Any]:
    """Return the number of the band of each row."""
    if not issubclass(column.type.python_type, int | float | Decimal) or isinstance(
        column.type, Boolean
    ):
        raise ArgumentError(f"Column {band.column!r} must be a number to be cut into bins.")
    # No number of the table is NaN (see models/rules).
    number = func.width_bucket(cast(column, Double), cast(array(band.edges), ARRAY(Double)))
    return func.coalesce(number, band.missing).label(band.key)


def counted(rows: Select[Any], *, keys: Sequence[str], clusters: Clusters) -> Select[Any]:
    """Count rows by group; with clusters also the squares of their counts.

    Parameters
    ----------
    rows
        ``keys``, the keys of ``clusters``, ``is_fraud``, and ``amount`` in its smallest unit.
    keys, clusters
        What the rows are grouped by, and by what they cluster.
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
            name: cast(each, Double) for name, each in counts.items()
        }
        return select(*groups, *_in_units(totals)).group_by(*groups)
    names = [
        *counts,
        *(
            way_column(at, name)
            for at in range(len(clusters.ways))
            for name in sums_over_clusters(value=True)
        ),
    ]
    parts = []
    for at, way in enumerate(clusters.ways):
        ways = [row[key] for key in way]
        columns = (cast(each, Double).label(name) for name, each in counts.items())
        cells = select(*groups, *ways, *columns).group_by(*groups, *ways)
        cell = cells.subquery().c
        own = {way_column(at, name): func.sum(each) for name, each in _over(cell, way).items()}
        own |= {name: func.sum(cell[name]) for name in counts if not at}
        by_group = [cell[key] for key in keys]
        parts.append(
            select(*by_group, *(own.get(name, _ZERO).label(name) for name in names)).group_by(
                *by_group
            )
        )
    # Sets of groups (GROUPING SETS) would read the rows once, but with one processor only.
    found = union_all(*parts).subquery().c
    totals = {name: func.sum(found[name]) for name in names}
    by_group = [found[key] for key in keys]
    return select(*by_group, *_in_units(totals)).group_by(*by_group)


def _over(cell: Any, way: Sequence[str]) -> dict[str, ColumnElement[Any]]:
    """Say what a cluster adds to the sums of its way; without one, what its rows add."""
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
    return {name: case((missing, apart), else_=cluster) for name, (cluster, apart) in sums.items()}


def _in_units(totals: Mapping[str, ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    """Return sums, 0 of nothing, with money in the table's unit rather than the smallest."""
    one = unit(Transaction.amount)
    powers = {"amount": one, "fraud_amount": one, **dict.fromkeys(SQUARES, one**2)}
    powers |= {way_column(way, name): one**2 for way in range(3) for name in VALUED}
    return [
        (func.coalesce(each, 0.0) / powers.get(name, 1.0)).label(name)
        for name, each in totals.items()
    ]
