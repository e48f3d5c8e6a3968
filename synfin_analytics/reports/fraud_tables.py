"""Tables and pictures of a period's report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from synfin_analytics import wording
from synfin_analytics.metrics.proportions import ratio
from synfin_analytics.metrics.told import NONE
from synfin_analytics.plots import plot_fraud_rate
from synfin_analytics.plots.rates import group_names
from synfin_analytics.reports.page import Table, lines
from synfin_analytics.reports.pictures import Picture, picture
from synfin_analytics.wording import percent

if TYPE_CHECKING:
    from synfin_analytics.reports.fraud import FraudReport

_RATES = (
    "transactions",
    "labelled",
    "frauds",
    "fraud rate",
    "interval",
    "fraud value",
    "basis points",
)


def shared(frauds: pd.DataFrame) -> pd.DataFrame:
    """Put the share of all fraud value beside each."""
    amounts = frauds["fraud_amount"]
    return frauds.assign(share=ratio(amounts, float(amounts.sum())))


def rates(result: pd.DataFrame) -> list[tuple[str, ...]]:
    """Write the rows of a fraud rate by group.

    Each is the group, transactions, those labelled, frauds, the rate,
    its interval, fraud value and basis points.
    """
    return [
        (name, *_rate(row)) for name, row in zip(group_names(result), lines(result), strict=True)
    ]


def _rate(row: Any) -> tuple[str, ...]:
    return (
        wording.number(row.transactions),
        wording.number(row.labelled),
        wording.number(row.frauds),
        percent(row.fraud_rate),
        wording.between(row.low, row.high),
        wording.number(row.fraud_amount),
        wording.number(row.fraud_bps, 1),
    )


def moment(one: Any, every: str) -> str:
    """Write the first moment of a period."""
    return f"{one:%Y-%m-%d %H:%M}" if every.endswith(("m", "h")) else wording.day(one)


def tables(report: FraudReport) -> dict[str, Any]:
    """All tables of the page, by name."""
    return {
        "over_time": _over_time(report),
        "rates": {
            what: Table(f"Fraud rate by {what}", (what, *_RATES), rates(result))
            for what, result in report.rates.items()
        },
        "types": _types(report),
        "merchants": _merchants(report),
        "maturity": _maturity(report),
        "versions": Table("Versions", ("what", "version"), list(report.origin.versions.items())),
    }


def _over_time(report: FraudReport) -> Table:
    rows = [(moment(row.timestamp, report.every), *_rate(row)) for row in lines(report.over_time)]
    return Table("Fraud rate over time", ("from", *_RATES), rows)


def _types(report: FraudReport) -> Table | None:
    if not report.types["fraud_type"].notna().any():
        return None
    rows = [
        (
            "not known" if pd.isna(row.fraud_type) else row.fraud_type.replace("_", " "),
            wording.number(row.frauds),
            wording.number(row.fraud_amount),
            percent(row.share),
        )
        for row in lines(report.types)
    ]
    frauds, value = report.types["frauds"].sum(), report.types["fraud_amount"].sum()
    rows.append(("all", wording.number(frauds), wording.number(value), percent(1.0)))
    return Table("Frauds by type", ("type", "frauds", "fraud value", "share of it"), rows)


def _merchants(report: FraudReport) -> Table | None:
    if not len(report.merchants):
        return None
    rows = [
        (
            f"{row.name} ({row.merchant_id})" if row.name else row.merchant_id,
            wording.number(row.labelled),
            wording.number(row.frauds),
            percent(row.fraud_rate),
            wording.between(row.low, row.high),
            wording.number(row.fraud_amount),
            percent(row.share),
        )
        for row in lines(report.merchants)
    ]
    these = report.merchants
    rows.append(
        ("these together", wording.number(these["labelled"].sum()),
         wording.number(these["frauds"].sum()), NONE, NONE,
         wording.number(these["fraud_amount"].sum()), percent(these["share"].sum()))
    )  # fmt: skip
    head = ("merchant", "labelled transactions", "frauds", "fraud rate", "interval", "fraud value",
            "share of it")  # fmt: skip
    return Table("Merchants with the largest losses", head, rows)


def _maturity(report: FraudReport) -> Table:
    rows = [
        (
            wording.day(row.timestamp),
            wording.number(row.transactions),
            wording.number(row.labelled),
            wording.number(row.transactions - row.labelled),
            percent(row.share),
            NONE if pd.isna(row.median) else wording.duration(row.median),
        )
        for row in lines(report.maturity)
    ]
    head = ("week from", "transactions", "labelled", "not labelled", "share labelled",
            "median delay")  # fmt: skip
    return Table("Labels by week of the transaction", head, rows)


def pictures(report: FraudReport) -> dict[str, Any]:
    """All pictures of the page, by name."""
    told = ", ".join(percent(one) for one in report.over_time["fraud_rate"])
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
