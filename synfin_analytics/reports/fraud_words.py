"""What a period's report says in sentences; each follows from numbers that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics import wording
from synfin_analytics.plots.rates import group_names
from synfin_analytics.reports import fraud_tables
from synfin_analytics.reports.page import Finding
from synfin_analytics.wording import percent, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.reports.fraud import FraudReport

#: A rate of fewer frauds is no record.
_FEW = 10


def findings(report: FraudReport) -> Iterator[Finding]:
    """Sentences of the summary, each with the number that it follows from."""
    yield from _how_much(report)
    if not report.statistics["fraud_count"]:
        return
    yield _value(report)
    yield from _when(report)
    yield from _where(report)
    yield from _kinds(report)
    yield from _losses(report)


def _amount(report: FraudReport, value: float, digits: int = 0) -> str:
    return f"{wording.number(value, digits)} {report.currency}".rstrip()


def _how_much(report: FraudReport) -> Iterator[Finding]:
    of, total = report.statistics, report.statistics["total_count"]
    sentence = (
        f"{plural(total, 'transaction')} from {wording.day(report.first)} to "
        f"{wording.day(report.last)}, worth {_amount(report, float(of['total_amount']))}; on "
        f"average {_amount(report, float(of['avg_amount']), 2)}, from "
        f"{wording.number(float(of['min_amount']), 2)} to "
        f"{_amount(report, float(of['max_amount']), 2)}."
    )
    yield Finding("transactions", total, wording.number(total), sentence, "summary")
    labelled, frauds = of["labelled_count"], of["fraud_count"]
    rate = float(of["fraud_rate"])
    if not labelled:
        sentence = "None of them is labelled: their fraud rate is not known."
    else:
        row = report.overall.iloc[0]
        whose = "them" if labelled == total else f"the {labelled:,} that are labelled"
        sentence = (
            f"{frauds:,} of {whose} {'was' if frauds == 1 else 'were'} fraud: {percent(rate)} "
            f"({100 * report.level:g}\u00a0% interval {wording.between(row['low'], row['high'])})."
        )
    yield Finding("fraud rate", rate, percent(rate), sentence, "summary")


def _value(report: FraudReport) -> Finding:
    row = report.overall.iloc[0]
    value = float(row["fraud_amount"])
    sentence = (
        f"Fraud was worth {_amount(report, value)} of {_amount(report, float(row['amount']))} that "
        f"are labelled: {wording.number(float(row['fraud_bps']), 1)} in 10,000 (basis points)."
    )
    return Finding("fraud value", value, _amount(report, value), sentence, "summary")


def _when(report: FraudReport) -> Iterator[Finding]:
    periods = report.over_time[report.over_time["frauds"] >= _FEW]
    if len(periods) < 2:
        return
    high = periods.iloc[int(periods["fraud_rate"].argmax())]
    what = {"1d": "day", "1w": "week", "1mo": "month"}.get(report.every, "period")
    rate = float(high["fraud_rate"])
    sentence = (
        f"It was highest in the {what} from "
        f"{fraud_tables.moment(high['timestamp'], report.every)}: {int(high['frauds']):,} of "
        f"{int(high['labelled']):,} labelled transactions (interval "
        f"{wording.between(high['low'], high['high'])})."
    )
    yield Finding(f"fraud rate of that {what}", rate, percent(rate), sentence, "time")


def _where(report: FraudReport) -> Iterator[Finding]:
    for what, result in report.rates.items():
        enough = (result["frauds"] >= _FEW).to_numpy()
        if len(result) < 2 or not enough.any():
            continue
        rates = np.where(enough, result["fraud_rate"].to_numpy(dtype=np.float64), -1.0)
        place = int(rates.argmax())
        row: Any = result.iloc[place]
        name = group_names(result)[place]
        sentence = (
            f"By {what}, fraud is most frequent where it is {name}: {int(row['frauds']):,} of "
            f"{int(row['labelled']):,} labelled transactions (interval "
            f"{wording.between(row['low'], row['high'])})."
        )
        rate = float(row["fraud_rate"])
        yield Finding(f"fraud rate, {name}", rate, percent(rate), sentence, "groups")


def _kinds(report: FraudReport) -> Iterator[Finding]:
    known = report.types[report.types["fraud_type"].notna()]
    if not len(known):
        return
    first: Any = known.iloc[0]
    costly: Any = known.iloc[int(known["fraud_amount"].argmax())]
    count = int(first["frauds"])
    sentence = (
        f"The most frequent type of fraud is {first['fraud_type'].replace('_', ' ')}, with "
        f"{count:,} of {report.statistics['fraud_count']:,}; the one with the largest losses is "
        f"{costly['fraud_type'].replace('_', ' ')}, with "
        f"{_amount(report, float(costly['fraud_amount']))}."
    )
    name = f"frauds, {first['fraud_type'].replace('_', ' ')}"
    yield Finding(name, count, wording.number(count), sentence, "types")


def _losses(report: FraudReport) -> Iterator[Finding]:
    if len(report.merchants) < 2:
        return
    share = float(report.merchants["share"].sum())
    sentence = (
        f"The {len(report.merchants):,} merchants with the largest losses have {percent(share)} of "
        "the fraud value."
    )
    yield Finding("of the fraud value", share, percent(share), sentence, "merchants")


def limits(report: FraudReport) -> Iterator[str]:
    """Say what the numbers cannot tell."""
    of = report.statistics
    unlabelled = of["total_count"] - of["labelled_count"]
    if unlabelled:
        yield (
            f"{plural(unlabelled, 'transaction')} of {of['total_count']:,} "
            f"{'has' if unlabelled == 1 else 'have'} no label, and {_is(unlabelled)} in no rate. "
            "Where these are of the last weeks, the rates of these weeks will change."
        )
    if not report.currency:
        yield "Amounts are not all of one known currency, and were added up as they are."
    yield (
        "Intervals take transactions as independent; those of one card are not quite, so they are "
        "somewhat too narrow."
    )
    yield "The highest of many groups or periods is partly so by chance."
    if of["fraud_count"] and pd.isna(report.types["fraud_type"]).any():
        missing = int(report.types.loc[report.types["fraud_type"].isna(), "frauds"].sum())
        yield f"Of {plural(missing, 'fraud')} the type is not known."


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
