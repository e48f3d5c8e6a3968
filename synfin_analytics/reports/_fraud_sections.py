"""The sentences, tables and figures of a fraud report; each follows from its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics._core.formatting import (
    NO_VALUE,
    UNDEFINED,
    format_amount,
    format_confidence_level,
    format_date,
    format_duration,
    format_number,
    format_percent,
    format_percent_interval,
    join_words,
    pluralize,
)
from synfin_analytics._core.html import Table
from synfin_analytics.metrics._clusters import MIN_RELIABLE as MIN_CLUSTERS
from synfin_analytics.plots import plot_fraud_rate
from synfin_analytics.plots.fraud_rate import group_names
from synfin_analytics.reports._figures import Figure, draw_figure
from synfin_analytics.reports._groups import (
    Group,
    describe_groups,
    describe_uncertainty,
    find_highest,
    has,
    is_,
    was,
)
from synfin_analytics.reports._maturity import (
    describe_immature_weeks,
    describe_not_compared,
    find_immature,
    immature_tables,
    select_mature,
)
from synfin_analytics.reports._page import Finding, iterate_rows
from synfin_analytics.reports._sources import currency_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.reports._results import FraudResults

#: Names of periods.
_PERIODS = {"1h": "hour", "1d": "day", "1w": "week", "1mo": "month", "1q": "quarter", "1y": "year"}


# -- Findings -------------------------------------------------------------------------------------


def findings(results: FraudResults) -> Iterator[Finding]:
    """Yield the sentences of the summary, each with the number that supports it."""
    yield _volume(results)
    yield _fraud_rate(results)
    if results.statistics["fraud_count"] and len(results.amounts):
        yield _fraud_amount(results)
    yield from find_immature(results.nowcast)
    if results.statistics["fraud_count"]:
        yield from _highest_period(results)
        yield from _highest_groups(results)
        yield from _frequent_types(results)
        yield from _merchant_losses(results)


def _sum_amounts(results: FraudResults, column: str) -> str:
    """Return the sum of a column in each currency."""
    names = [results.currency]
    if results.several_currencies:
        currencies = results.amounts["currency"].tolist()
        names = currency_names(currencies, "in an unknown currency")
    amounts = results.amounts[column].tolist()
    return join_words(
        [format_amount(amount, name) for amount, name in zip(amounts, names, strict=True)]
    )


def _volume(results: FraudResults) -> Finding:
    statistics, count = results.statistics, results.statistics["total_count"]
    sentence = pluralize(count, "transaction")
    if results.first is not None and results.last is not None:
        sentence += f" from {format_date(results.first)} to {format_date(results.last)}"
    if len(results.amounts):
        sentence += f", with a total value of {_sum_amounts(results, 'amount')}"
    if results.has_amounts:
        amounts = (statistics[name] for name in ("avg_amount", "min_amount", "max_amount"))
        mean, low, high = (format_number(float(amount), 2) for amount in amounts)
        sentence += f"; mean {mean}, range {low} to {high} {results.currency}".rstrip()
    return Finding("transactions", count, format_number(count), f"{sentence}.", "summary")


def _fraud_rate(results: FraudResults) -> Finding:
    statistics = results.statistics
    labelled, frauds = statistics["labelled_count"], statistics["fraud_count"]
    rate = float(statistics["fraud_rate"])
    sentence = "No transaction is labelled yet, so the fraud rate is unknown."
    if labelled:
        row = results.overall.iloc[0]
        all_labelled = labelled == statistics["total_count"]
        noun = "transaction" if all_labelled else "labelled transaction"
        interval = format_percent_interval(row["fraud_rate_low"], row["fraud_rate_high"])
        sentence = (
            f"{frauds:,} of {pluralize(labelled, noun)} {was(frauds)} fraud: "
            f"{format_percent(rate)} ({confidence_interval_name(results)} {interval})."
        )
        if frauds and not row["reliable"]:
            customers = pluralize(int(row["fraud_clusters"]), "customer")
            sentence += f" The interval is unreliable, as the frauds belong to {customers}."
    return Finding("fraud rate", rate, format_percent(rate), sentence, "summary")


def _fraud_amount(results: FraudResults) -> Finding:
    value = float(results.amounts["fraud_amount"].iloc[0])
    sentence = (
        f"Fraud amounts to {_sum_amounts(results, 'fraud_amount')} of "
        f"{_sum_amounts(results, 'labelled_amount')} in labelled transactions"
    )
    if results.several_currencies:
        name = "fraud amount, first currency"
        currency = currency_names(results.amounts["currency"].tolist(), "")[0]
    else:
        name, currency = "fraud amount", results.currency
        basis_points = float(results.overall.iloc[0]["fraud_bps"])
        if not np.isnan(basis_points):
            sentence += f": {format_number(basis_points, 1)} basis points (per 10,000)"
    n_unsuccessful = int(results.amounts["unsuccessful"].sum())
    if n_unsuccessful:
        sentence += (
            f"; {pluralize(n_unsuccessful, 'fraud')} {was(n_unsuccessful)} declined or failed, so "
            f"the losses are {_sum_amounts(results, 'lost_amount')}"
        )
    return Finding(name, value, format_amount(value, currency), f"{sentence}.", "summary")


def rated_groups(results: FraudResults, rates: pd.DataFrame, names: list[str]) -> list[Group]:
    """Return the fraud rate of each group."""
    interval = confidence_interval_name(results)
    return [
        Group(name, int(row.frauds), int(row.labelled), row.fraud_rate_low, row.fraud_rate_high,
              int(row.frauds), interval, bool(row.reliable))
        for name, row in zip(names, iterate_rows(rates), strict=True)
    ]  # fmt: skip


def _highest_period(results: FraudResults) -> Iterator[Finding]:
    if "time" in results.omitted:
        return
    noun = _PERIODS.get(results.every, "period")
    mature, n_immature = select_mature(results.over_time, results.nowcast)
    starts = [format_start(start, results.every) for start in mature["timestamp"]]
    highest = find_highest(rated_groups(results, mature, starts))
    if highest is None:
        return
    rate = float(highest.groups[0].rate)
    if highest.all_equal:
        periods = pluralize(highest.n_groups, noun)
        sentence = f"The fraud rate was {format_percent(rate)} in all {periods}."
    else:
        plural = "s" if len(highest.groups) > 1 else ""
        place = "on" if noun == "day" else f"in the {noun}{plural} from"
        periods = describe_groups(highest.groups, " labelled transactions")
        sentence = f"The fraud rate was highest {place} {periods}."
        sentence += describe_uncertainty(highest, "the rate was highest for", noun, label="")
    sentence += describe_not_compared(n_immature, noun)
    yield Finding(f"highest fraud rate of a {noun}", rate, format_percent(rate), sentence, "time")


def _highest_groups(results: FraudResults) -> Iterator[Finding]:
    for columns, rates in results.rates.items():
        highest = find_highest(rated_groups(results, rates, group_names(rates)))
        if highest is None:
            continue
        rate = float(highest.groups[0].rate)
        if highest.all_equal:
            name = f"fraud rate, any {columns}"
            groups = pluralize(highest.n_groups, "group")
            sentence = f"By {columns}, the fraud rate is {format_percent(rate)} in all {groups}."
        else:
            name = f"fraud rate, {highest.groups[0].name}"
            groups = describe_groups(highest.groups, " labelled transactions", label="group")
            sentence = f"By {columns}, the fraud rate is highest in {groups}."
            sentence += describe_uncertainty(highest, "the rate is highest in")
        yield Finding(name, rate, format_percent(rate), sentence, "groups")


def _frequent_types(results: FraudResults) -> Iterator[Finding]:
    types = results.types[results.types["fraud_type"].notna()]
    if not len(types):
        return
    count, total = int(types["frauds"].max()), results.statistics["fraud_count"]
    n_unknown = total - int(types["frauds"].sum())
    known = "known " if n_unknown else ""
    names = _largest_types(types, "frauds")
    if len(types) == 1:
        sentence = f"The only {known}fraud type is {names}, with {count:,} of {total:,} frauds"
    elif types["frauds"].eq(count).sum() > 1:
        sentence = (
            f"The most frequent {known}fraud types are {names} (tied), with {count:,} of "
            f"{total:,} frauds each"
        )
    else:
        sentence = (
            f"The most frequent {known}fraud type is {names}, with {count:,} of {total:,} frauds"
        )
    if n_unknown:
        sentence += f"; {n_unknown:,} {has(n_unknown)} no known type"
    lost = float(types["lost_amount"].max()) if results.has_amounts else 0.0
    if lost and len(types) > 1:
        each = " each" if types["lost_amount"].eq(lost).sum() > 1 else ""
        sentence += (
            f"; the largest losses are from {_largest_types(types, 'lost_amount')}, "
            f"{format_amount(lost, results.currency)}{each}"
        )
    name = f"frauds, {type_name(types['fraud_type'].iloc[0])}"
    yield Finding(name, count, format_number(count), f"{sentence}.", "types")


def _largest_types(types: pd.DataFrame, column: str) -> str:
    """Return the names of the types with the largest value; there may be several."""
    largest = types.loc[types[column].eq(types[column].max()), "fraud_type"]
    return join_words([type_name(fraud_type) for fraud_type in largest])


def type_name(fraud_type: str | None) -> str:
    """Return the name of a fraud type; NULL is unknown."""
    return "unknown" if pd.isna(fraud_type) else str(fraud_type).replace("_", " ")


def _merchant_losses(results: FraudResults) -> Iterator[Finding]:
    count = len(results.merchants)
    if count < 2:
        return
    share = min(float(results.merchants["share"].sum()), 1.0)
    noun, criterion = ("losses", "largest losses")
    if not results.has_amounts:
        noun, criterion = ("frauds", "most frauds")
    if round(share, 12) == 1:
        sentence = f"All {noun} occurred at {count:,} merchants."
    else:
        sentence = (
            f"The {count:,} merchants with the {criterion} account for {format_percent(share)} of "
            f"all {noun}."
        )
    yield Finding(f"share of all {noun}", share, format_percent(share), sentence, "merchants")


def confidence_interval_name(results: FraudResults) -> str:
    """Return the name of the report's confidence intervals, as ``"95% CI"``."""
    return f"{format_confidence_level(results.confidence_level)} CI"


# -- Caveats --------------------------------------------------------------------------------------


def caveats(results: FraudResults) -> Iterator[str]:
    """Yield what the numbers cannot show."""
    yield from results.remarks
    statistics = results.statistics
    n_unlabelled = statistics["total_count"] - statistics["labelled_count"]
    if n_unlabelled:
        yield (
            f"{n_unlabelled:,} of {pluralize(statistics['total_count'], 'transaction')} "
            f"{has(n_unlabelled)} no label and {is_(n_unlabelled)} excluded from all rates. "
            "Where these are recent, the rates of recent periods will change."
        )
    yield from describe_immature_weeks(results.nowcast, "rates")
    if results.several_currencies:
        names = currency_names(results.amounts["currency"].tolist())
        yield (
            f"Amounts are in {join_words(names)} and are not added; merchants and fraud types are "
            "ranked by their number of frauds."
        )
    elif results.has_amounts and not results.currency:
        yield "The currency of the amounts is not recorded; a single currency is assumed."
    n_returned = int(results.amounts["returned"].sum())
    if n_returned:
        yield (
            f"{pluralize(n_returned, 'fraud')} {was(n_returned)} reversed or refunded. The "
            "data do not record who bore the loss, so losses include them in full."
        )
    yield (
        "Intervals account for transactions of the same customer or merchant being correlated. "
        "They describe how much the rate could differ with other customers and merchants, not in "
        "other periods."
    )
    n_unreliable = sum(int((~rates["reliable"]).sum()) for rates in results.rates.values())
    if n_unreliable:
        groups = pluralize(n_unreliable, "group")
        intervals = "The interval of" if n_unreliable == 1 else "The intervals of"
        yield (
            f"{intervals} {groups} {is_(n_unreliable)} unreliable, as fewer than {MIN_CLUSTERS} "
            "of their customers had fraud."
        )
    yield "The highest rate of many groups or periods is in part a chance finding."
    n_untyped = int(results.types.loc[results.types["fraud_type"].isna(), "frauds"].sum())
    if n_untyped:
        yield f"{pluralize(n_untyped, 'fraud')} {has(n_untyped)} no known type."


# -- Tables ---------------------------------------------------------------------------------------


def tables(results: FraudResults) -> dict[str, Any]:
    """Return all tables of the page, by name."""
    return {
        "currencies": _currencies_table(results),
        "over_time": None if "time" in results.omitted else _time_table(results),
        "immature": immature_tables(results.nowcast, with_amounts=results.has_amounts),
        "rates": {
            columns: Table(
                f"Fraud rate by {columns}",
                (columns, *_rate_head(results)),
                fraud_rate_rows(rates, group_names(rates), with_amounts=results.has_amounts),
            )
            for columns, rates in results.rates.items()
        },
        "types": _types_table(results),
        "merchants": _merchants_table(results),
        "maturity": None if "time" in results.omitted else _maturity_table(results),
    }


def _rate_head(results: FraudResults) -> tuple[str, ...]:
    interval = confidence_interval_name(results)
    amounts = ("fraud amount", "basis points") if results.has_amounts else ()
    return ("transactions", "labelled", "frauds", "fraud rate", interval, *amounts)


def fraud_rate_rows(
    rates: pd.DataFrame, names: list[str], *, with_amounts: bool
) -> list[tuple[str, ...]]:
    """Return the rows of a result of ``fraud_rate`` as text.

    Parameters
    ----------
    rates
        Result of ``fraud_rate``.
    names
        Name of each row.
    with_amounts
        Whether to include the fraud amount and basis points, which need a single currency.
    """
    rows = []
    for name, row in zip(names, iterate_rows(rates), strict=True):
        cells = [
            name,
            format_number(row.transactions),
            format_number(row.labelled),
            format_number(row.frauds),
            format_percent(row.fraud_rate),
            _format_interval(row),
        ]
        if with_amounts:
            cells += [format_amount(row.fraud_amount), format_number(row.fraud_bps, 1)]
        rows.append(tuple(cells))
    return rows


def _format_interval(row: Any) -> str:
    interval = format_percent_interval(row.fraud_rate_low, row.fraud_rate_high)
    return interval if row.reliable or interval == UNDEFINED else f"{interval}, unreliable"


def format_start(start: Any, every: str) -> str:
    """Return the start of a period as text."""
    return (
        f"{start:%Y-%m-%d}\u00a0{start:%H:%M}" if every.endswith(("m", "h")) else format_date(start)
    )


def _time_table(results: FraudResults) -> Table:
    starts = [format_start(start, results.every) for start in results.over_time["timestamp"]]
    rows = fraud_rate_rows(results.over_time, starts, with_amounts=results.has_amounts)
    return Table("Fraud rate over time", ("from", *_rate_head(results)), rows)


def _currencies_table(results: FraudResults) -> Table | None:
    if not results.several_currencies:
        return None
    names = currency_names(results.amounts["currency"].tolist(), "unknown")
    rows = [
        (
            name,
            format_number(row.transactions),
            format_amount(row.amount),
            format_amount(row.labelled_amount),
            format_amount(row.fraud_amount),
            format_amount(row.lost_amount),
        )
        for name, row in zip(names, iterate_rows(results.amounts), strict=True)
    ]
    head = ("currency", "transactions", "amount", "labelled amount", "fraud amount", "losses")
    return Table("Amounts by currency", head, rows)


def _types_table(results: FraudResults) -> Table | None:
    if not results.types["fraud_type"].notna().any():
        return None
    columns = _amount_columns(results)
    rows = [
        (
            type_name(row.fraud_type),
            format_number(row.frauds),
            *(format_amount(getattr(row, name)) for name in columns),
            format_percent(row.share),
        )
        for row in iterate_rows(results.types)
    ]
    sums = results.types[["frauds", *columns]].sum()
    amounts = [format_amount(sums[name]) for name in columns]
    rows.append(("all", format_number(sums["frauds"]), *amounts, format_percent(1.0)))
    return Table("Frauds by type", ("type", "frauds", *_share_head(results)), rows)


def _amount_columns(results: FraudResults) -> list[str]:
    return ["fraud_amount", "lost_amount"] if results.has_amounts else []


def _share_head(results: FraudResults) -> tuple[str, ...]:
    if not results.has_amounts:
        return ("share of all frauds",)
    return ("fraud amount", "losses", "share of all losses")


def merchants_title(results: FraudResults) -> str:
    """Return the title of the section on merchants."""
    criterion = "largest losses" if results.has_amounts else "most frauds"
    return f"Merchants with the {criterion}"


def _merchants_table(results: FraudResults) -> Table | None:
    if not len(results.merchants):
        return None
    columns = _amount_columns(results)
    rows = [
        (
            f"{row.name} ({row.merchant_id})" if row.name else row.merchant_id,
            format_number(row.labelled),
            format_number(row.frauds),
            format_percent(row.fraud_rate),
            _format_interval(row),
            *(format_amount(getattr(row, name)) for name in columns),
            format_percent(row.share),
        )
        for row in iterate_rows(results.merchants)
    ]
    sums = results.merchants[["labelled", "frauds", "share", *columns]].sum()
    rows.append(
        (
            "total of these",
            format_number(sums["labelled"]),
            format_number(sums["frauds"]),
            NO_VALUE,
            NO_VALUE,
            *(format_amount(sums[name]) for name in columns),
            format_percent(min(sums["share"], 1.0)),
        )
    )
    interval = confidence_interval_name(results)
    head = ("merchant", "labelled", "frauds", "fraud rate", interval, *_share_head(results))
    return Table(merchants_title(results), head, rows)


def _maturity_table(results: FraudResults) -> Table:
    rows = [
        (
            format_date(row.timestamp),
            format_number(row.transactions),
            format_number(row.labelled),
            format_number(row.transactions - row.labelled),
            format_percent(row.labelled_share),
            NO_VALUE if pd.isna(row.median_delay) else format_duration(row.median_delay),
        )
        for row in iterate_rows(results.maturity)
    ]
    head = ("week from", "transactions", "labelled", "unlabelled", "share labelled",
            "median delay")  # fmt: skip
    return Table("Labels by week of the transaction", head, rows)


# -- Figures --------------------------------------------------------------------------------------


def time_figure(results: FraudResults) -> Figure | None:
    """Draw the fraud rate over time, if times are known."""
    if "time" in results.omitted:
        return None
    rates = ", ".join(format_percent(rate) for rate in results.over_time["fraud_rate"])
    return draw_figure(
        lambda: plot_fraud_rate(results.over_time, title=""),
        name="time",
        alt=f"Fraud rate over time, in order: {rates}.",
        caption="Fraud rate over time, with its confidence interval and the number of labelled "
        "transactions.",
    )


def group_figures(results: FraudResults) -> dict[str, Figure]:
    """Draw the fraud rates of each grouping."""
    return {
        columns: _group_figure(f"by{position}", columns, rates)
        for position, (columns, rates) in enumerate(results.rates.items())
    }


def _group_figure(name: str, columns: str, rates: pd.DataFrame) -> Figure:
    groups = "; ".join(
        f"{group} {format_percent(row.fraud_rate)} ({_format_interval(row)})"
        for group, row in zip(group_names(rates), iterate_rows(rates), strict=True)
    )
    return draw_figure(
        lambda: plot_fraud_rate(rates, title=""),
        name=name,
        alt=f"Fraud rate by {columns}: {groups}.",
        caption=f"Fraud rate by {columns}, with confidence intervals.",
    )
