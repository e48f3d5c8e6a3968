"""Weeks of a report whose frauds are not all known yet: what is said and shown of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from synfin_analytics._core.formatting import (
    NO_VALUE,
    format_amount,
    format_confidence_level,
    format_date,
    format_number,
    format_percent,
    format_percent_interval,
    pluralize,
)
from synfin_analytics._core.html import Table
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics.nowcast import FraudRateNowcast, nowcast_fraud_rate
from synfin_analytics.plots import plot_fraud_rate
from synfin_analytics.reports._figures import Figure, draw_figure
from synfin_analytics.reports._page import Finding, iterate_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd

    from synfin_analytics.reports._lazy_rows import LazyRows
    from synfin_analytics.reports._rows import Rows
    from synfin_analytics.reports._sources import LabelDelays

ResultT = TypeVar("ResultT")

#: Which transaction is the first of those with a wrong label time: no page shows identifiers.
_FIRST = re.compile(r" \(the first is [^)]*\)")


# -- From any source -------------------------------------------------------------------------------


def read_nowcast(
    read: Callable[[], FraudRateNowcast], delays: LabelDelays
) -> FraudRateNowcast | str | None:
    """Return the nowcast of a report.

    Parameters
    ----------
    read
        Nowcasts the weeks of the report.
    delays
        The delays of its labels.

    Returns
    -------
    FraudRateNowcast, str or None
        The nowcast; why there is none; or None if no label has a time.
    """
    if not delays.n_recorded:
        return None
    nowcast = result_or_reason(read)
    if isinstance(nowcast, str):
        return nowcast
    # The reason is the last caveat.
    return nowcast.caveats[-1] if nowcast.mature_age is None else nowcast


def result_or_reason(read: Callable[[], ResultT]) -> ResultT | str:
    """Return what is read from the times of labels, or why they are wrong, without identifiers."""
    try:
        return read()
    except ArgumentError as error:
        return _FIRST.sub("", str(error))


def nowcast_rows(rows: Rows, confidence_level: float) -> FraudRateNowcast:
    """Nowcast the weeks of the rows of a frame."""
    frame, available = rows.frame, rows.roles.label_available_at or ""
    times = frame[available]
    if (times == times.dt.truncate("1d")).all():  # dates: each is the whole day
        frame = frame.with_columns(pl.col(available).cast(pl.Date))
    return nowcast_frame(frame, rows, confidence_level=confidence_level)


def nowcast_frame(frame: Any, rows: Rows | LazyRows, **options: Any) -> FraudRateNowcast:
    """Nowcast the weeks of the rows of a report, in a frame whose dates are dates."""
    roles = rows.roles
    return nowcast_fraud_rate(
        frame,
        roles.timestamp or "",
        roles.label,
        roles.label_available_at or "",
        as_of=None if rows.knowledge is None else rows.knowledge.as_of,
        amount=roles.amount,
        **options,
    )


# -- Sentences -------------------------------------------------------------------------------------


def immature_weeks(nowcast: FraudRateNowcast | str | None) -> pd.DataFrame | None:
    """Return the rows of the weeks that are not mature; None if no week is known to be one."""
    if not isinstance(nowcast, FraudRateNowcast):
        return None
    weeks = nowcast.to_frame()
    weeks = weeks[~weeks["mature"].astype(bool)]
    return weeks if len(weeks) else None


def select_mature(
    periods: pd.DataFrame, nowcast: FraudRateNowcast | str | None
) -> tuple[pd.DataFrame, int]:
    """Return the periods that ended before the first week that is not mature.

    Parameters
    ----------
    periods
        In their order, with the start of each as ``timestamp``.
    nowcast
        Of the report.

    Returns
    -------
    tuple
        The mature periods, and how many others there are.
    """
    weeks = immature_weeks(nowcast)
    if weeks is None:
        return periods, 0
    first = weeks["cohort"].iloc[0]
    ends = periods["timestamp"].shift(-1)
    mature = (ends <= first).to_numpy()
    return periods[mature], int((~mature).sum())


def describe_not_compared(n_periods: int, noun: str) -> str:
    """Return a sentence about periods that are left out of a comparison; "" for none."""
    if not n_periods:
        return ""
    return (
        f" Fraud rates of {pluralize(n_periods, noun)} with frauds that may not be known yet "
        "are not compared."
    )


def describe_immature_weeks(nowcast: FraudRateNowcast | str | None, affected: str) -> list[str]:
    """Return the caveats about weeks that are not mature.

    Parameters
    ----------
    nowcast
        What :func:`synfin_analytics.nowcast_fraud_rate` returns for weeks without groups; or why
        there is no nowcast; or None.
    affected
        The metrics of the report that rely on labels, in the plural: ``"recall and precision"``.
    """
    if nowcast is None:
        return []
    if isinstance(nowcast, str):
        return [f"Which weeks are not mature, with frauds still to be known, is unknown. {nowcast}"]
    weeks = immature_weeks(nowcast)
    if weeks is None:
        return list(nowcast.caveats)
    return [
        f"{_subject(nowcast, weeks)} not mature: more frauds may still become known. "
        f"The {affected} there are based on the labels known so far and will change.",
        *nowcast.caveats,
    ]


def _subject(nowcast: FraudRateNowcast, weeks: pd.DataFrame) -> str:
    """Return the subject of a sentence about weeks, with its verb."""
    n_weeks, start = len(weeks), format_date(weeks["cohort"].iloc[0])
    if n_weeks == len(nowcast.cohorts):
        return f"All {n_weeks:,} weeks are"
    if n_weeks == 1:
        return f"The last week (from {start}) is"
    return f"The last {n_weeks:,} weeks (from {start}) are"


def find_immature(nowcast: FraudRateNowcast | str | None) -> Iterator[Finding]:
    """Yield the finding that the last weeks are not mature, with their known and final rates."""
    weeks = immature_weeks(nowcast)
    if weeks is None or not isinstance(nowcast, FraudRateNowcast):
        return
    sentence = f"{_subject(nowcast, weeks)} not mature: more frauds may still become known."
    mature = nowcast.cohorts[nowcast.cohorts["mature"].astype(bool)]
    own = _known_rate(weeks)
    if len(mature):
        sentence += (
            f" Frauds known so far give {own} of their transactions, after {_known_rate(mature)} "
            "in the mature weeks before: a lower known rate does not show that fraud fell."
        )
    else:
        sentence += f" Frauds known so far give {own} of their transactions."
    complete = weeks[weeks["observed_ages"] > 0]
    if len(complete):
        week = complete.iloc[-1]
        interval = format_percent_interval(
            week["estimated_fraud_rate_low"], week["estimated_fraud_rate_high"]
        )
        sentence += (
            f" For the last complete week, from {format_date(week['cohort'])}, "
            f"{format_percent(week['known_fraud_rate'])} is known, and the estimated final rate "
            f"is {format_percent(week['estimated_fraud_rate'])} "
            f"({_interval_name(nowcast)} {interval})."
        )
    count = len(weeks)
    yield Finding("weeks that are not mature", count, format_number(count), sentence, "time")


def _known_rate(weeks: pd.DataFrame) -> str:
    return format_percent(float(weeks["known_frauds"].sum() / weeks["transactions"].sum()))


def _interval_name(nowcast: FraudRateNowcast) -> str:
    return f"{format_confidence_level(nowcast.confidence_level)} prediction interval"


# -- Tables and the figure -------------------------------------------------------------------------


def immature_tables(nowcast: FraudRateNowcast | str | None, *, with_amounts: bool) -> list[Table]:
    """Return the tables of the weeks that are not mature, by count and by value.

    Parameters
    ----------
    nowcast
        Of the report.
    with_amounts
        Whether there are amounts that can be added: in several currencies, they cannot.
    """
    weeks = immature_weeks(nowcast)
    if weeks is None or not isinstance(nowcast, FraudRateNowcast):
        return []
    interval = _interval_name(nowcast)
    rows: list[tuple[str, ...]] = [
        (
            format_date(week.cohort),
            format_number(week.transactions),
            format_number(week.known_frauds),
            format_number(week.estimated_frauds),
            _range(week, "frauds", format_number),
            format_percent(week.known_fraud_rate),
            format_percent(week.estimated_fraud_rate),
            format_percent_interval(week.estimated_fraud_rate_low, week.estimated_fraud_rate_high),
        )
        for week in iterate_rows(weeks)
    ]
    head: tuple[str, ...] = ("week from", "transactions", "known frauds", "estimated final frauds",
            interval, "known rate", "estimated final rate", interval)  # fmt: skip
    mature = nowcast.cohorts[nowcast.cohorts["mature"].astype(bool)]
    rows += [
        (name, format_number(part["transactions"].sum()), format_number(part["known_frauds"].sum()),
         NO_VALUE, NO_VALUE, _known_rate(part), NO_VALUE, NO_VALUE)
        for name, part in (("total of these", weeks), ("mature weeks before", mature))
        if len(part)
    ]  # fmt: skip
    tables = [Table("Weeks that are not mature, by number of frauds", head, rows)]
    if not with_amounts:
        return tables
    rows = [
        (
            format_date(week.cohort),
            format_amount(week.known_fraud_amount),
            format_amount(week.estimated_fraud_amount),
            _range(week, "fraud_amount", format_amount),
            format_number(week.known_fraud_bps, 1),
            format_number(week.estimated_fraud_bps, 1),
            _range(week, "fraud_bps", lambda value: format_number(value, 1)),
        )
        for week in iterate_rows(weeks)
    ]
    head = ("week from", "known fraud amount", "estimated final amount", interval,
            "known basis points", "estimated final basis points", interval)  # fmt: skip
    return [*tables, Table("Weeks that are not mature, by value", head, rows)]


def _range(week: Any, name: str, write: Callable[[Any], str]) -> str:
    """Return an interval of an estimate as text."""
    low, high = (getattr(week, f"estimated_{name}_{end}") for end in ("low", "high"))
    return f"{write(low)} to {write(high)}"


def nowcast_figure(nowcast: FraudRateNowcast | str | None) -> Figure | None:
    """Draw known and estimated rates; None if no week is known not to be mature."""
    weeks = immature_weeks(nowcast)
    if weeks is None or not isinstance(nowcast, FraudRateNowcast):
        return None
    rates = "; ".join(
        f"{format_date(week.cohort)} {format_percent(week.known_fraud_rate)} known, "
        f"{format_percent(week.estimated_fraud_rate)} estimated"
        for week in iterate_rows(weeks)
    )
    return draw_figure(
        lambda: plot_fraud_rate(nowcast, title=""),
        name="nowcast",
        alt=f"Fraud rate by week, known and estimated. Weeks that are not mature: {rates}.",
        caption="Frauds per transaction by week. Of weeks that are not mature: the rate known so "
        f"far, and the estimated final rate with its {_interval_name(nowcast)}.",
    )
