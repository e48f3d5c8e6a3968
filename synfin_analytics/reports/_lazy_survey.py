"""What the engine of a lazy frame counts of the rows of a report by one query, by currency."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from synfin_analytics._core.dataframes import is_invalid_label, time_literal, to_float
from synfin_analytics.reports._rows import YEARS
from synfin_analytics.reports._sources import RETURNED, UNSUCCESSFUL

if TYPE_CHECKING:
    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.reports._rows import Roles

#: Keys of the counts: whether rows are of the report, and their currency.
PART, CURRENCY = "__part", "__currency_name"
#: Rows outside the period; in it, but not before ``as_of``; and those of the report.
OUTSIDE, LATER, KEPT = range(3)
MINIMA = ("first", "lowest_amount")
MAXIMA = ("last", "highest_amount")
_FIRST_TIME = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
_LAST_TIME = dt.datetime.max.replace(tzinfo=dt.UTC)


@dataclass(frozen=True)
class Period:
    """Which rows a report has: of a period, and as they were known at a time.

    Attributes
    ----------
    start, end, as_of
        In UTC; None for no such bound.
    """

    start: dt.datetime | None
    end: dt.datetime | None
    as_of: dt.datetime | None

    @property
    def is_all(self) -> bool:
        """Whether all rows and labels count."""
        return self == Period(None, None, None)

    def part(self, frame: Frame, roles: Roles) -> nw.Expr:
        """Return an expression for the part that each row is in."""
        part = nw.lit(KEPT, nw.Int64)
        if roles.timestamp is None:
            return part
        # A comparison with NULL is not true: a row without a time is in no period.
        moment = nw.col(roles.timestamp)
        if self.as_of is not None:
            part = nw.when(moment < time_literal(frame, self.as_of)).then(part).otherwise(LATER)
        if self.end is not None:
            part = nw.when(moment < time_literal(frame, self.end)).then(part).otherwise(OUTSIDE)
        if self.start is not None:
            part = nw.when(moment >= time_literal(frame, self.start)).then(part).otherwise(OUTSIDE)
        return part

    def known_label(self, frame: Frame, roles: Roles) -> nw.Expr:
        """Return an expression for the label that was known."""
        label = nw.col(roles.label)
        if self.as_of is None or roles.label_available_at is None:
            return label
        available = nw.col(roles.label_available_at)
        known = available.is_null() | (available <= time_literal(frame, self.as_of))
        return nw.when(known).then(label)


@dataclass(frozen=True)
class KeepRows:
    """Keeps the rows of a report and the labels that were known; Dask's workers unpickle it."""

    roles: Roles
    period: Period

    def __call__(self, frame: Frame) -> Frame:
        """Return the rows of the report."""
        rows = frame.filter(self.period.part(frame, self.roles) == KEPT)
        return rows.with_columns(self.period.known_label(frame, self.roles).alias(self.roles.label))


@dataclass(frozen=True)
class Survey:
    """Selects what each converted row adds to the counts; Dask's workers unpickle it."""

    roles: Roles
    period: Period

    def __call__(self, frame: Frame) -> Frame:
        """Return :data:`PART`, :data:`CURRENCY`, and the measures."""
        roles = self.roles
        final, label = nw.col(roles.label), self.period.known_label(frame, roles)
        labelled, fraud = ~label.is_null(), label.fill_null(0) == 1
        unknown = ~final.is_null() & ~labelled
        measures: dict[str, nw.Expr] = {
            "transactions": nw.lit(1, nw.Int64),
            "labelled": as_count(labelled),
            "frauds": as_count(fraud),
            "invalid_labels": as_count(is_invalid_label(final)),
            "later_labels": as_count(unknown),
            "later_frauds": as_count(unknown & (final.fill_null(0) == 1)),
        }
        measures |= self._amounts(frame, labelled, fraud) | self._times(frame, labelled)
        currency = nw.lit("") if roles.currency is None else nw.col(roles.currency)
        return frame.select(
            self.period.part(frame, roles).alias(PART),
            currency.alias(CURRENCY),
            *(expression.alias(name) for name, expression in measures.items()),
        )

    def _amounts(self, frame: Frame, labelled: nw.Expr, fraud: nw.Expr) -> dict[str, nw.Expr]:
        roles, schema = self.roles, frame.collect_schema()
        if roles.amount is None:
            return {}
        number = to_float(schema[roles.amount], roles.amount, "a number")
        amount = number.fill_null(0)
        unsuccessful, returned = is_unsuccessful(roles), _has_status(roles, RETURNED)
        return {
            "amount": amount,
            "labelled_amount": amount * labelled.cast(nw.Float64),
            "fraud_amount": amount * fraud.cast(nw.Float64),
            "lost_amount": amount * (fraud & ~unsuccessful).cast(nw.Float64),
            "unsuccessful": as_count(fraud & unsuccessful),
            "returned": as_count(fraud & returned),
            "missing_amounts": as_count(number.is_null()),
            "negative_amounts": as_count(amount < 0),
            "lowest_amount": number,
            "highest_amount": number,
        }

    def _times(self, frame: Frame, labelled: nw.Expr) -> dict[str, nw.Expr]:
        roles = self.roles
        measures: dict[str, nw.Expr] = {}
        for name in filter(None, (roles.timestamp, roles.label_available_at)):
            moment = nw.col(name)
            outside = (moment < time_literal(frame, _FIRST_TIME)) | (
                moment > time_literal(frame, _LAST_TIME)
            )
            measures[f"outside_{name}"] = as_count(outside)
        if roles.timestamp is None:
            return measures
        moment = nw.col(roles.timestamp)
        year = moment.dt.year()
        placeholder = (year < YEARS[0]) | (year > YEARS[1])
        measures |= {
            "missing_times": as_count(moment.is_null()),
            "placeholder_times": as_count(placeholder),
            "first": moment,
            "last": moment,
        }
        if roles.label_available_at is not None:
            available = nw.col(roles.label_available_at)
            with_time = available != available.dt.truncate("1d")
            measures |= {
                "early_labels": as_count(available < moment),
                "with_time_of_day": as_count(with_time),
                "recorded": as_count(labelled & ~moment.is_null() & ~available.is_null()),
            }
        return measures


def is_unsuccessful(roles: Roles) -> nw.Expr:
    """Return an expression for which transactions were not carried out."""
    return _has_status(roles, UNSUCCESSFUL)


def _has_status(roles: Roles, statuses: tuple[str, ...]) -> nw.Expr:
    if roles.status is None:
        return nw.lit(False)
    return nw.col(roles.status).fill_null("").is_in(statuses)


def amount_or_zero(roles: Roles) -> nw.Expr:
    """Return an expression for the amount of each transaction; 0 if it is missing."""
    if roles.amount is None:
        return nw.lit(0.0)
    return nw.col(roles.amount).cast(nw.Float64).fill_null(0)


def as_count(condition: nw.Expr) -> nw.Expr:
    """Return an expression for 1 where a condition is true, and 0 where it is false or NULL."""
    return condition.fill_null(False).cast(nw.Int64)


def kept(counts: pl.DataFrame) -> pl.DataFrame:
    """Return the counts of the rows of the report, by currency."""
    return counts.filter(pl.col(PART) == KEPT)


def total(counts: pl.DataFrame, name: str) -> Any:
    """Return a count of all groups together; 0 if it was not counted."""
    if name not in counts.columns:
        return 0
    column = counts[name]
    if name in MINIMA:
        return column.min()
    return column.max() if name in MAXIMA else column.sum()
