"""What a period's report says in sentences; each follows from numbers that it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.formatting import format_amount, format_percent, pluralize
from synfin_analytics.metrics._clusters import MIN_RELIABLE as RELIABLE
from synfin_analytics.plots.fraud_rate import group_names
from synfin_analytics.reports import _fraud_tables as fraud_tables
from synfin_analytics.reports import _queries as facts
from synfin_analytics.reports._extremes import Group, caveat, highest, words
from synfin_analytics.reports._page import Finding, lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.reports.fraud import FraudReport

#: What a period is called.
_PERIODS = {"1h": "hour", "1d": "day", "1w": "week", "1mo": "month", "1q": "quarter", "1y": "year"}


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


def _amounts(report: FraudReport, column: str) -> str:
    """Write the sum of each currency."""
    names = facts.currency_names(report.amounts["currency"].tolist())
    if not report.several_currencies:
        names = [report.currency]
    sums = report.amounts[column].tolist()
    return wording.join_words([format_amount(*each) for each in zip(sums, names, strict=True)])


def _how_much(report: FraudReport) -> Iterator[Finding]:
    of, total = report.statistics, report.statistics["total_count"]
    sentence = (
        f"{pluralize(total, 'transaction')} from {wording.format_date(report.first)} to "
        f"{wording.format_date(report.last)}, worth {_amounts(report, 'amount')}"
    )
    if not report.several_currencies:
        sentence += (
            f"; on average {wording.format_number(float(of['avg_amount']), 2)}, from "
            f"{wording.format_number(float(of['min_amount']), 2)} to "
            f"{wording.format_number(float(of['max_amount']), 2)} {report.currency}".rstrip()
        )
    yield Finding("transactions", total, wording.format_number(total), f"{sentence}.", "summary")
    labelled, frauds = of["labelled_count"], of["fraud_count"]
    rate = float(of["fraud_rate"])
    if not labelled:
        sentence = "None of them is labelled: their fraud rate is not known."
    else:
        row = report.overall.iloc[0]
        whose = "them" if labelled == total else f"the {labelled:,} that are labelled"
        interval = wording.format_percent_interval(row["fraud_rate_low"], row["fraud_rate_high"])
        sentence = (
            f"{frauds:,} of {whose} {'was' if frauds == 1 else 'were'} fraud: "
            f"{format_percent(rate)} ({wording.format_confidence_level(report.level)} interval "
            f"{interval})."
        )
        clusters = int(row["fraud_clusters"])
        if frauds and not row["reliable"]:
            sentence += (
                f" The interval is rough: the frauds are of {pluralize(clusters, 'customer')}."
            )
    yield Finding("fraud rate", rate, format_percent(rate), sentence, "summary")


def _value(report: FraudReport) -> Finding:
    value = float(report.amounts["fraud_amount"].iloc[0])
    shown = format_amount(value, facts.currency_names(report.amounts["currency"].tolist())[0])
    sentence = f"Fraud was worth {_amounts(report, 'fraud_amount')}"
    if report.several_currencies:
        name = "fraud value, first currency"
        sentence += f" of {_amounts(report, 'labelled_amount')} that are labelled"
    else:
        name, shown = "fraud value", format_amount(value, report.currency)
        row = report.overall.iloc[0]
        sentence += (
            f" of {format_amount(float(row['amount']), report.currency)} that are labelled: "
            f"{wording.format_number(float(row['fraud_bps']), 1)} in 10,000 (basis points)"
        )
    not_paid = int(report.amounts["not_paid"].sum())
    if not_paid:
        sentence += (
            f"; {pluralize(not_paid, 'fraud')} {_was(not_paid)} declined or failed, and "
            f"{_amounts(report, 'lost_amount')} {_was(len(report.amounts))} lost"
        )
    return Finding(name, value, shown, f"{sentence}.", "summary")


def groups_of(result: pd.DataFrame, names: list[str]) -> list[Group]:
    """Give each group of a fraud rate its name."""
    return [
        Group(
            name,
            int(row.frauds),
            int(row.labelled),
            row.fraud_rate_low,
            row.fraud_rate_high,
            int(row.frauds),
            rough=not row.reliable,
        )
        for name, row in zip(names, lines(result), strict=True)
    ]


def _when(report: FraudReport) -> Iterator[Finding]:
    what = _PERIODS.get(report.every, "period")
    starts = [fraud_tables.moment(start, report.every) for start in report.over_time["timestamp"]]
    found = highest(groups_of(report.over_time, starts))
    if found is None:
        return
    rate = float(found.first[0].rate)
    if found.alike:
        count = pluralize(found.known, what)
        sentence = f"The fraud rate was the same in all {count}: {format_percent(rate)}."
    else:
        place = "on" if what == "day" else f"in the {what}{'s' * (len(found.first) > 1)} from"
        sentence = (
            f"The fraud rate was highest {place} {words(found.first, ' labelled transactions')}."
            f"{caveat(found, 'the highest is that of', what)}"
        )
    yield Finding(f"highest fraud rate of a {what}", rate, format_percent(rate), sentence, "time")


def _where(report: FraudReport) -> Iterator[Finding]:
    for what, result in report.rates.items():
        found = highest(groups_of(result, group_names(result)))
        if found is None:
            continue
        first = found.first[0]
        rate = float(first.rate)
        if found.alike:
            name = f"fraud rate, any {what}"
            sentence = (
                f"By {what}, fraud is equally frequent in all {pluralize(found.known, 'group')}: "
                f"{format_percent(rate)}."
            )
        else:
            name = f"fraud rate, {first.name}"
            sentence = (
                f"By {what}, fraud is most frequent where it is "
                f"{words(found.first, ' labelled transactions')}."
                f"{caveat(found, 'the rate is highest in')}"
            )
        yield Finding(name, rate, format_percent(rate), sentence, "groups")


def _kinds(report: FraudReport) -> Iterator[Finding]:
    known = report.types[report.types["fraud_type"].notna()]
    if not len(known):
        return
    count, total = int(known["frauds"].max()), report.statistics["fraud_count"]
    first = _names(known, "frauds")
    unknown = total - int(known["frauds"].sum())
    whose = "known type" if unknown else "type"
    if len(known) == 1:
        sentence = f"The only {whose} of fraud is {first}, with {count:,} of {total:,}"
    else:
        sentence = f"The most frequent {whose} of fraud is {first}, with {count:,} of {total:,}"
        if known["frauds"].eq(count).sum() > 1:
            sentence = (
                f"The most frequent {whose}s of fraud are {first} alike, each with {count:,} of "
                f"{total:,}"
            )
    if unknown:
        sentence += f"; {unknown:,} {'has' if unknown == 1 else 'have'} no known type"
    lost = 0.0 if report.several_currencies else float(known["lost_amount"].max())
    if lost and len(known) > 1:
        alike = known["lost_amount"].eq(lost).sum() > 1
        sentence += (
            f"; the largest losses are those of {_names(known, 'lost_amount')}, "
            f"{'each ' if alike else ''}with {format_amount(lost, report.currency)}"
        )
    name = f"frauds, {fraud_tables.type_name(known['fraud_type'].iloc[0])}"
    yield Finding(name, count, wording.format_number(count), f"{sentence}.", "types")


def _names(types: pd.DataFrame, column: str) -> str:
    """Name the types that have most of something; there may be several."""
    first = types.loc[types[column].eq(types[column].max()), "fraud_type"]
    return wording.join_words([fraud_tables.type_name(one) for one in first])


def _losses(report: FraudReport) -> Iterator[Finding]:
    listed = len(report.merchants)
    if listed < 2:
        return
    share = min(float(report.merchants["share"].sum()), 1.0)
    of, most = ("losses", "largest losses")
    if report.several_currencies:
        of, most = ("frauds", "most frauds")
    if round(share, 12) == 1:
        sentence = f"All {of} are at {listed:,} merchants."
    else:
        sentence = (
            f"The {listed:,} merchants with the {most} have {format_percent(share)} of the {of}."
        )
    yield Finding(f"of the {of}", share, format_percent(share), sentence, "merchants")


def caveats(report: FraudReport) -> Iterator[str]:
    """Say what the numbers cannot tell."""
    of = report.statistics
    unlabelled = of["total_count"] - of["labelled_count"]
    if unlabelled:
        yield (
            f"{pluralize(unlabelled, 'transaction')} of {of['total_count']:,} "
            f"{'has' if unlabelled == 1 else 'have'} no label, and {_is(unlabelled)} in no rate. "
            "Where these are of the last weeks, the rates of these weeks will change."
        )
    if report.several_currencies:
        names = facts.currency_names(report.amounts["currency"].tolist())
        yield (
            f"Amounts are in {wording.join_words(names)}: they are not added up, and merchants and "
            "types are compared by their number of frauds."
        )
    elif not report.currency:
        yield "The currency of the amounts is not recorded; they are taken to be in the same one."
    returned = int(report.amounts["returned"].sum())
    if returned:
        yield (
            f"{pluralize(returned, 'fraud')} {_was(returned)} reversed or refunded. The database "
            "does not say whose money it was, so losses include these in full."
        )
    yield (
        "Intervals allow for transactions of one customer, or at one merchant, having their fraud "
        "in common. They say how far the rate would differ with other customers and merchants, and "
        "nothing of other periods."
    )
    if rough := sum(int((~one["reliable"]).sum()) for one in report.rates.values()):
        yield (
            f"The intervals of {pluralize(rough, 'group')} are rough, since fewer than {RELIABLE} "
            "customers there had a fraud."
        )
    yield "The highest of many groups or periods is partly so by chance."
    if of["fraud_count"] and pd.isna(report.types["fraud_type"]).any():
        missing = int(report.types.loc[report.types["fraud_type"].isna(), "frauds"].sum())
        yield f"{pluralize(missing, 'fraud')} {'has' if missing == 1 else 'have'} no known type."


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
