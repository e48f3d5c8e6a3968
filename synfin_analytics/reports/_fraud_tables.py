"""Tables and pictures of a period's report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import NO_VALUE, format_percent
from synfin_analytics._core.html import Table
from synfin_analytics.plots import plot_fraud_rate
from synfin_analytics.plots.fraud_rate import group_names
from synfin_analytics.reports import _queries as facts
from synfin_analytics.reports._figures import Picture, picture
from synfin_analytics.reports._page import lines

if TYPE_CHECKING:
    from synfin_analytics.reports.fraud import FraudReport

_RATES = (
    "transactions",
    "labelled",
    "frauds",
    "fraud rate",
    "interval",
)
_VALUES = ("fraud value", "basis points")


def shared(frauds: pd.DataFrame, by: str) -> pd.DataFrame:
    """Put the share of all losses, or of all frauds, beside each."""
    return frauds.assign(share=ratio(frauds[by], float(frauds[by].sum())))


def rates(result: pd.DataFrame, *, amounts: bool = True) -> list[tuple[str, ...]]:
    """Write the rows of a fraud rate by group.

    Each is the group, transactions, those labelled, frauds, the rate, its interval and, if
    ``amounts`` have a sum, fraud value and basis points.
    """
    return [
        (name, *_rate(row, amounts=amounts))
        for name, row in zip(group_names(result), lines(result), strict=True)
    ]


def _rate(row: Any, *, amounts: bool) -> tuple[str, ...]:
    written = (
        wording.format_number(row.transactions),
        wording.format_number(row.labelled),
        wording.format_number(row.frauds),
        format_percent(row.fraud_rate),
        _interval(row),
    )
    if not amounts:
        return written
    return (
        *written,
        wording.format_amount(row.fraud_amount),
        wording.format_number(row.fraud_bps, 1),
    )


def _interval(row: Any) -> str:
    """Write the interval of a rate, and whether it is rough."""
    ends = wording.format_percent_interval(row.fraud_rate_low, row.fraud_rate_high)
    return ends if row.reliable or ends == wording.UNDEFINED else f"{ends}, rough"


def _head(report: FraudReport) -> tuple[str, ...]:
    return _RATES if report.several_currencies else (*_RATES, *_VALUES)


def moment(one: Any, every: str) -> str:
    """Write the first moment of a period."""
    return f"{one:%Y-%m-%d %H:%M}" if every.endswith(("m", "h")) else wording.format_date(one)


def tables(report: FraudReport) -> dict[str, Any]:
    """All tables of the page, by name."""
    return {
        "over_time": _over_time(report),
        "rates": {
            what: Table(
                f"Fraud rate by {what}",
                (what, *_head(report)),
                rates(result, amounts=not report.several_currencies),
            )
            for what, result in report.rates.items()
        },
        "currencies": _currencies(report),
        "types": _types(report),
        "merchants": _merchants(report),
        "maturity": _maturity(report),
        "versions": Table(
            "Versions", ("what", "version"), list(report.provenance.versions.items())
        ),
    }


def _over_time(report: FraudReport) -> Table:
    amounts = not report.several_currencies
    rows = [
        (moment(row.timestamp, report.every), *_rate(row, amounts=amounts))
        for row in lines(report.over_time)
    ]
    return Table("Fraud rate over time", ("from", *_head(report)), rows)


def _currencies(report: FraudReport) -> Table | None:
    """Write amounts by currency, where there are several."""
    if not report.several_currencies:
        return None
    rows = [
        (
            name,
            wording.format_number(row.transactions),
            wording.format_amount(row.amount),
            wording.format_amount(row.labelled_amount),
            wording.format_amount(row.fraud_amount),
            wording.format_amount(row.lost_amount),
        )
        for name, row in zip(
            facts.currency_names(report.amounts["currency"].tolist(), "unknown"),
            lines(report.amounts),
            strict=True,
        )
    ]
    head = ("currency", "transactions", "value", "labelled value", "fraud value", "losses")
    return Table("Amounts by currency", head, rows)


def type_name(fraud_type: Any) -> str:
    """Name a type of fraud; NULL is not known."""
    return "not known" if pd.isna(fraud_type) else str(fraud_type).replace("_", " ")


def _types(report: FraudReport) -> Table | None:
    if not report.types["fraud_type"].notna().any():
        return None
    values = [] if report.several_currencies else ["fraud_amount", "lost_amount"]
    rows = [
        (
            type_name(row.fraud_type),
            wording.format_number(row.frauds),
            *(wording.format_amount(getattr(row, name)) for name in values),
            format_percent(row.share),
        )
        for row in lines(report.types)
    ]
    sums = report.types[["frauds", *values]].sum()
    rows.append(
        (
            "all",
            wording.format_number(sums["frauds"]),
            *(wording.format_amount(sums[name]) for name in values),
            format_percent(1.0),
        )
    )
    return Table("Frauds by type", ("type", "frauds", *_value_head(report)), rows)


def _value_head(report: FraudReport) -> tuple[str, ...]:
    """Name the last columns of types and merchants."""
    if report.several_currencies:
        return ("share of all frauds",)
    return ("fraud value", "losses", "share of all losses")


def merchants_title(report: FraudReport) -> str:
    """Say by what the merchants are chosen."""
    return "Merchants with the " + (
        "most frauds" if report.several_currencies else "largest losses"
    )


def _merchants(report: FraudReport) -> Table | None:
    if not len(report.merchants):
        return None
    values = [] if report.several_currencies else ["fraud_amount", "lost_amount"]
    rows = [
        (
            f"{row.name} ({row.merchant_id})" if row.name else row.merchant_id,
            wording.format_number(row.labelled),
            wording.format_number(row.frauds),
            format_percent(row.fraud_rate),
            _interval(row),
            *(wording.format_amount(getattr(row, name)) for name in values),
            format_percent(row.share),
        )
        for row in lines(report.merchants)
    ]
    sums = report.merchants[["labelled", "frauds", "share", *values]].sum()
    rows.append(
        (
            "these together",
            wording.format_number(sums["labelled"]),
            wording.format_number(sums["frauds"]),
            NO_VALUE,
            NO_VALUE,
            *(wording.format_amount(sums[name]) for name in values),
            format_percent(min(sums["share"], 1.0)),
        )
    )
    head = ("merchant", "labelled transactions", "frauds", "fraud rate", "interval",
            *_value_head(report))  # fmt: skip
    return Table(merchants_title(report), head, rows)


def _maturity(report: FraudReport) -> Table:
    rows = [
        (
            wording.format_date(row.timestamp),
            wording.format_number(row.transactions),
            wording.format_number(row.labelled),
            wording.format_number(row.transactions - row.labelled),
            format_percent(row.share),
            NO_VALUE if pd.isna(row.median) else wording.format_duration(row.median),
        )
        for row in lines(report.maturity)
    ]
    head = ("week from", "transactions", "labelled", "not labelled", "share labelled",
            "median delay")  # fmt: skip
    return Table("Labels by week of the transaction", head, rows)


def pictures(report: FraudReport) -> dict[str, Any]:
    """All pictures of the page, by name."""
    told = ", ".join(format_percent(one) for one in report.over_time["fraud_rate"])
    return {
        "over_time": picture(
            lambda: plot_fraud_rate(report.over_time, title=""),
            name="time",
            alt=f"Fraud rate over time, in order: {told}.",
            caption="Fraud rate over time, with its interval and the number of transactions.",
        ),
        "rates": {
            what: _by_group(f"by{place}", what, result)
            for place, (what, result) in enumerate(report.rates.items())
        },
    }


def _by_group(name: str, what: str, result: pd.DataFrame) -> Picture:
    told = "; ".join(f"{row[0]} {row[4]} ({row[5]})" for row in rates(result))
    return picture(
        lambda: plot_fraud_rate(result, title=""),
        name=name,
        alt=f"Fraud rate by {what}: {told}.",
        caption=f"Fraud rate by {what}, with intervals.",
    )
