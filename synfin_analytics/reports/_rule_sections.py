"""The verdict, tables and figures of a report on rules; each follows from its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from synfin_analytics._core.formatting import (
    format_amount,
    format_confidence_level,
    format_number,
    format_percent,
    format_percent_interval,
    join_words,
    pluralize,
)
from synfin_analytics._core.html import Table
from synfin_analytics.metrics._clusters import MIN_RELIABLE
from synfin_analytics.metrics.maturity import LabelMaturity
from synfin_analytics.reports._figures import Figure, draw_figure
from synfin_analytics.reports._page import Finding
from synfin_analytics.reports._verdict import Concern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.reports._rule_data import RuleResults
    from synfin_analytics.rules import RuleEvaluation

#: Below this number of frauds, and above this share of alerts without a label, a report warns.
_FEW_FRAUDS, _MANY_UNLABELLED = 100, 0.05
#: Names that a sentence lists, and pairs of a table.
_MAX_NAMES, _MAX_PAIRS = 6, 30

Verdict: TypeAlias = Literal["earns", "does not", "unknown"]


@dataclass(frozen=True)
class Judgement:
    """Whether a rule earns its alerts, and why.

    Attributes
    ----------
    rule
        Its name.
    verdict
        ``"earns"``, ``"does not"``, or ``"unknown"``.
    reason
        Why, as words that follow the name and a colon.
    """

    rule: str
    verdict: Verdict
    reason: str


# -- Verdict ---------------------------------------------------------------------------------------


def judge(evaluation: RuleEvaluation) -> list[Judgement]:
    """Judge each rule, those that earn their alerts first.

    With amounts, a rule earns its alerts if the greedy order takes it: it adds net benefit to the
    rules before it. Without amounts, if it catches frauds that no other rule catches.
    """
    rules = {row["rule"]: row for row in evaluation._polars("rules").iter_rows(named=True)}
    dominated: dict[str, str] = {}
    for row in evaluation._polars("dominated").iter_rows(named=True):
        dominated.setdefault(row["rule"], row["by"])
    judgements = []
    for row in evaluation._polars("greedy").iter_rows(named=True):
        name, own = row["rule"], rules[row["rule"]]
        if not own["alerts"]:
            judgements.append(Judgement(name, "does not", "never fired"))
        elif not own["labelled"]:
            judgements.append(Judgement(name, "unknown", "none of its alerts has a label"))
        elif evaluation.amount is None:
            judgements.append(_judge_by_frauds(own, dominated.get(name)))
        else:
            judgements.append(_judge_by_benefit(row, dominated.get(name)))
    order: list[Verdict] = ["earns", "unknown", "does not"]
    return sorted(judgements, key=lambda judgement: order.index(judgement.verdict))


def _judge_by_benefit(row: dict[str, Any], dominator: str | None) -> Judgement:
    name, gain = row["rule"], row["gained_net_benefit"]
    frauds = pluralize(row["gained_frauds"], "fraud")
    alerts = pluralize(row["gained_alerts"], "alert")
    if row["position"] is not None:
        added = "brings" if row["position"] == 1 else "adds"
        return Judgement(name, "earns", f"{added} {format_amount(gain)} with {frauds} in {alerts}")
    if dominator is not None:
        return Judgement(name, "does not", _dominated(dominator))
    if not row["gained_alerts"]:
        return Judgement(name, "does not", "the rules that earn theirs fire on all its alerts")
    return Judgement(
        name, "does not",
        f"it would change the net benefit by {format_amount(gain)}: {frauds} in {alerts} more",
    )  # fmt: skip


def _judge_by_frauds(row: dict[str, Any], dominator: str | None) -> Judgement:
    name, lost = row["rule"], row["lost_frauds"]
    if lost:
        only = pluralize(row["alerts_only_here"], "alert")
        frauds = pluralize(lost, "fraud")
        return Judgement(name, "earns", f"catches {frauds} that no other rule does, in {only}")
    if dominator is not None:
        return Judgement(name, "does not", _dominated(dominator))
    reason = "other rules catch all its frauds" if row["frauds"] else "catches no fraud"
    return Judgement(name, "does not", reason)


def _dominated(dominator: str) -> str:
    return f"{dominator} catches the same frauds with no more false alerts"


def concerns(report: RuleResults) -> list[Concern]:
    """Return what to worry about, the most important first."""
    evaluation = report.evaluation
    return [
        *_failures(evaluation),
        *_immature(report.maturity),
        *_decaying(evaluation, report.maturity),
        *_uncertain(evaluation),
    ]


def _failures(evaluation: RuleEvaluation) -> Iterator[Concern]:
    if evaluation.failed:
        n_rules = len(evaluation.failed)
        verb = "was" if n_rules == 1 else "were"
        yield Concern(
            f"{pluralize(n_rules, 'rule')} {verb} not evaluated: {_names(evaluation.failed)}.",
            "failed",
        )
    rows = evaluation._polars("rules")
    failing = rows.filter(rows["error_rows"] > 0)
    if failing.height:
        yield Concern(
            f"Rules that cannot be computed on some rows do not fire there: "
            f"{_names(failing['rule'].to_list())}.",
            "limitations",
        )
    for note in evaluation._notes:
        if "uses the label" in note:
            yield Concern(note, "limitations")


def immature_cohorts(maturity: LabelMaturity | str | None) -> Any:
    """Return the cohorts whose labels are not complete; None where this is not known."""
    if not isinstance(maturity, LabelMaturity) or maturity.mature_age is None:
        return None
    cohorts = maturity.cohorts
    return cohorts[~cohorts["mature"].astype(bool)]


def _immature(maturity: LabelMaturity | str) -> Iterator[Concern]:
    cohorts = immature_cohorts(maturity)
    if cohorts is None:
        if isinstance(maturity, LabelMaturity):
            yield Concern("The history is too short to know when labels are complete.", "maturity")
        return
    if len(cohorts):
        first = f"{cohorts['cohort'].min():%Y-%m-%d}"
        share = cohorts["transactions"].sum() / max(maturity.cohorts["transactions"].sum(), 1)  # type: ignore[union-attr]
        yield Concern(
            f"The labels of transactions from {first} on ({format_percent(share)} of all) are not "
            "mature: frauds of these periods are still to become known, and their numbers will "
            "change.",
            "maturity",
        )


def _decaying(evaluation: RuleEvaluation, maturity: LabelMaturity | str) -> Iterator[Concern]:
    """Yield rules that are worse in the last mature period than in all."""
    by_period = evaluation._polars("by_period")
    immature = immature_cohorts(maturity)
    if immature is not None:
        starts = [cohort.to_pydatetime() for cohort in immature["cohort"]]
        by_period = by_period.filter(~by_period["period"].is_in(starts))
    if not by_period.height:
        return
    overall = {row["rule"]: row for row in evaluation._polars("rules").iter_rows(named=True)}
    last: Any = by_period["period"].max()
    lower = [
        row["rule"]
        for row in by_period.filter(period=last).iter_rows(named=True)
        if row["labelled"] and row["precision_high"] < overall[row["rule"]]["precision_low"]
    ]
    if lower:
        name = "last period" if immature is None or not len(immature) else "last mature period"
        yield Concern(
            f"In the {name}, from {last:%Y-%m-%d} on, the interval of the precision is below that "
            f"of all periods: {_names(lower)}.",
            "time",
        )


def _uncertain(evaluation: RuleEvaluation) -> Iterator[Concern]:
    overall = evaluation._polars("overall").row(0, named=True)
    unlabelled = overall["alerts"] - overall["labelled"]
    if unlabelled > _MANY_UNLABELLED * max(overall["alerts"], 1):
        share = format_percent(unlabelled / overall["alerts"])
        yield Concern(
            f"{share} of the alerts have no label: they have their cost, but can catch nothing.",
            "limitations",
        )
    if evaluation.n_labelled and evaluation.n_frauds < _FEW_FRAUDS:
        yield Concern(
            f"The results rest on {pluralize(evaluation.n_frauds, 'fraud')}, so all intervals are "
            "wide.",
            "rules",
        )
    rules = evaluation._polars("rules")
    rough = rules.filter((rules["frauds"] > 0) & (rules["fraud_clusters"] < MIN_RELIABLE))
    if evaluation.clusters and rough.height:
        yield Concern(
            f"Intervals are rough where frauds come from fewer than {MIN_RELIABLE} clusters: "
            f"{_names(rough['rule'].to_list())}.",
            "rules",
        )


def _names(names: Any) -> str:
    listed = [str(name) for name in names]
    if len(listed) <= _MAX_NAMES:
        return join_words(listed)
    return f"{', '.join(listed[:_MAX_NAMES])} and {len(listed) - _MAX_NAMES} more"


# -- Findings --------------------------------------------------------------------------------------


def findings(report: RuleResults) -> Iterator[Finding]:
    """Yield the sentences of the summary, each with the number that supports it."""
    evaluation = report.evaluation
    overall = evaluation._polars("overall").row(0, named=True)
    sentences = iter(evaluation.findings)
    yield Finding(
        "alerts", overall["alerts"], format_number(overall["alerts"]), next(sentences), "rules"
    )
    counts: dict[str, list[str]] = {"earns": [], "does not": [], "unknown": []}
    for judgement in judge(evaluation):
        counts[judgement.verdict].append(judgement.rule)
    total = len(evaluation.names)
    earning = counts["earns"]
    names = f": {_names(earning)}" if earning else ""
    yield Finding(
        "rules that earn their alerts", len(earning), f"{len(earning)} of {total}",
        f"{len(earning)} of {pluralize(total, 'rule')} "
        f"{'earns its' if len(earning) == 1 else 'earn their'} alerts{names}.", "verdict",
    )  # fmt: skip
    if counts["does not"]:
        others = counts["does not"]
        yield Finding(
            "rules that do not", len(others), f"{len(others)} of {total}",
            f"{len(others)} of {pluralize(total, 'rule')} "
            f"{'does' if len(others) == 1 else 'do'} not: {_names(others)}.", "verdict",
        )  # fmt: skip
    if evaluation.amount is not None:
        chosen = evaluation._polars("greedy").drop_nulls("position")
        best = float(chosen["net_benefit"][-1]) if chosen.height else 0.0
        text = format_amount(best)
        yield Finding("highest net benefit", best, text, next(sentences), "benefit")


def headlines(report: RuleResults) -> list[tuple[str, str, str]]:
    """Return precision, recall and net benefit of all rules together: number, name, definition."""
    evaluation = report.evaluation
    overall = evaluation._polars("overall").row(0, named=True)
    level = format_confidence_level(evaluation.confidence_level)
    numbers = []
    for name, definition in (
        ("precision", "of the labelled alerts, the share that is fraud"),
        ("recall", "of all frauds, the share with an alert"),
    ):
        interval = ""
        if np.isfinite(overall[name]):
            ends = format_percent_interval(overall[f"{name}_low"], overall[f"{name}_high"])
            interval = f" ({level} CI {ends})"
        numbers.append((format_percent(overall[name]), name, definition + interval))
    if evaluation.amount is not None:
        value = format_amount(overall["net_benefit"])
        cost = format_amount(evaluation.cost_per_alert)
        numbers.append((value, "net benefit", f"value caught less {cost} per alert"))
    else:
        numbers.append((format_number(overall["alerts"]), "alerts", "of any rule"))
    return numbers


def caveats(report: RuleResults) -> Iterator[str]:
    """Yield what the numbers cannot show, as sentences."""
    yield from report.evaluation.caveats
    if report.evaluation.amount is not None:
        yield (
            "The greedy order is not always the best set: two rules together may be better than "
            "the one that is best alone. Of rules that do the same, it takes the first."
        )
    yield (
        "Rules are chosen and judged on the same transactions: on others, they are likely to catch "
        "less."
    )
    if isinstance(report.maturity, str):
        yield f"How mature the labels are is not known. {report.maturity}"
    else:
        yield from report.maturity.caveats


# -- Tables ----------------------------------------------------------------------------------------


def tables(report: RuleResults) -> dict[str, Any]:
    """Return the tables of the page; None for one without rows."""
    evaluation = report.evaluation
    return {
        "rules": rules_table(evaluation),
        "benefit": _benefit_table(evaluation),
        "pairs": _pairs_table(evaluation),
        "dominated": _dominated_table(evaluation),
        "beside": _beside_table(report),
        "maturity": _maturity_table(report.maturity),
        "each": {name: _rule_table(evaluation, name) for name in evaluation.names},
        "weeks": {name: _weeks_table(evaluation, name) for name in evaluation.names},
    }


def _share(row: Any, name: str) -> str:
    if not np.isfinite(row[name]):
        return format_percent(row[name])
    ends = format_percent_interval(row[f"{name}_low"], row[f"{name}_high"])
    return f"{format_percent(row[name])} ({ends})"


def rules_table(evaluation: RuleEvaluation) -> Table:
    """Return the measures of each rule, and of all together."""
    overall = {"rule": "any rule"} | evaluation._polars("overall").row(0, named=True)
    with_amounts = evaluation.amount is not None
    head = ["rule", "alerts", "frauds", "precision", "recall"]
    head += ["value caught", "net benefit"] if with_amounts else []
    head += ["lost frauds"] + (["lost net benefit"] if with_amounts else [])
    rows = []
    for row in [*evaluation._polars("rules").iter_rows(named=True), overall]:
        cells = [row["rule"], format_number(row["alerts"]), format_number(row["frauds"])]
        cells += [_share(row, "precision"), _share(row, "recall")]
        if with_amounts:
            cells += [format_amount(row["value_caught"]), format_amount(row["net_benefit"])]
        cells.append(format_number(row["lost_frauds"]) if "lost_frauds" in row else "")
        if with_amounts:
            lost = format_amount(row["lost_net_benefit"]) if "lost_frauds" in row else ""
            cells.append(lost)
        rows.append(cells)
    return Table("Rules", head, rows, marked=(len(rows) - 1,))


def _benefit_table(evaluation: RuleEvaluation) -> Table | None:
    if evaluation.amount is None:
        return None
    rows = [
        (
            row["rule"],
            "" if row["position"] is None else str(row["position"]),
            format_number(row["gained_alerts"]),
            format_number(row["gained_frauds"]),
            format_amount(row["gained_net_benefit"]),
            *(
                ("", "", "")
                if row["position"] is None
                else (
                    format_percent(row["precision"]),
                    format_percent(row["recall"]),
                    format_amount(row["net_benefit"]),
                )
            ),
        )
        for row in evaluation._polars("greedy").iter_rows(named=True)
    ]
    head = ("rule", "position", "alerts added", "frauds added", "net benefit added",
            "precision so far", "recall so far", "net benefit so far")  # fmt: skip
    return Table("Greedy order", head, rows)


def _pairs_table(evaluation: RuleEvaluation) -> Table | None:
    overlap = evaluation._polars("overlap")
    pairs = overlap.filter(overlap["alerts_both"] > 0).sort(
        "share_of_rule", descending=True, maintain_order=True
    )
    rows = [
        (row["rule"], row["other"], format_number(row["alerts_both"]),
         format_number(row["frauds_both"]), format_percent(row["share_of_rule"]),
         format_percent(row["jaccard"]))
        for row in pairs.head(_MAX_PAIRS).iter_rows(named=True)
    ]  # fmt: skip
    if not rows:
        return None
    caption = "Pairs of rules that fire together"
    if pairs.height > len(rows):
        caption += f" ({len(rows)} of {pairs.height}, the largest shares)"
    head = ("rule", "and", "alerts of both", "frauds of both", "share of the rule's alerts",
            "share of the alerts of either")  # fmt: skip
    return Table(caption, head, rows, text_columns=(0, 1))


def _dominated_table(evaluation: RuleEvaluation) -> Table | None:
    rows = [
        (row["rule"], row["by"]) for row in evaluation._polars("dominated").iter_rows(named=True)
    ]
    head = ("rule", "dominated by")
    return Table("Dominated rules", head, rows, text_columns=(0, 1)) if rows else None


def _beside_table(report: RuleResults) -> Table | None:
    if report.model is None:
        return None
    evaluation = report.evaluation
    number = evaluation.names.index(report.model)
    with_amounts = evaluation.amount is not None
    rows = []
    for row in evaluation._statistics.beside(number).iter_rows(named=True):
        cells = [row["rule"]]
        for suffix in ("both", "only_rule", "only_other"):
            cells += [f"{row[f'frauds_{suffix}']:,} in {row[f'alerts_{suffix}']:,}"]
        if with_amounts:
            cells.append(format_amount(row["value_only_rule"]))
        rows.append(cells)
    head = ["rule", "both", "the rule alone", "the model alone"]
    head += ["value of the rule alone"] if with_amounts else []
    return Table(f"Frauds in alerts, beside {report.model}", head, rows)


def _maturity_table(maturity: LabelMaturity | str) -> Table | None:
    if isinstance(maturity, str):
        return None
    rows = [
        (
            f"{row['cohort']:%Y-%m-%d}",
            format_number(row["transactions"]),
            format_number(row["labelled"]),
            format_number(row["frauds"]),
            "yes" if row["mature"] else "no",
        )
        for row in maturity.cohorts.to_dict("records")
    ]
    head = ("from", "transactions", "labelled", "known frauds", "mature")
    return Table("Labels by period", head, rows) if rows else None


def _rule_table(evaluation: RuleEvaluation, name: str) -> Table:
    row = evaluation._polars("rules").row(evaluation.names.index(name), named=True)
    measures = [
        ("alerts", format_number(row["alerts"])),
        ("alerts per day", format_number(row["alerts_per_day"], 1)),
        ("frauds caught", format_number(row["frauds"])),
        ("precision", _share(row, "precision")),
        ("recall", _share(row, "recall")),
        ("false alerts per fraud", format_number(row["false_positive_ratio"], 1)),
        ("alerts of no other rule", format_number(row["alerts_only_here"])),
        ("frauds of no other rule", format_number(row["lost_frauds"])),
        ("rows it could not be computed on", format_number(row["error_rows"])),
    ]
    if evaluation.amount is not None:
        share = format_percent(row["value_detection_rate"])
        value = format_amount(row["value_caught"])
        measures[6:6] = [
            ("value caught", f"{value} ({share} of all)" if np.isfinite(row["value_detection_rate"])
             else value),
            ("net benefit", format_amount(row["net_benefit"])),
        ]  # fmt: skip
        measures.insert(-1, ("net benefit lost without it", format_amount(row["lost_net_benefit"])))
    if evaluation.timestamp is None:
        measures = [pair for pair in measures if pair[0] != "alerts per day"]
    return Table(f"Measures of {name}", ("measure", "value"), measures)


def _weeks_table(evaluation: RuleEvaluation, name: str) -> Table | None:
    by_period = evaluation._polars("by_period").filter(rule=name)
    with_amounts = evaluation.amount is not None
    rows = []
    for row in by_period.iter_rows(named=True):
        cells = [f"{row['period']:%Y-%m-%d %H:%M}".removesuffix(" 00:00")]
        cells += [format_number(row["alerts"]), format_number(row["frauds"])]
        cells += [_share(row, "precision"), format_percent(row["recall"])]
        if with_amounts:
            cells.append(format_amount(row["net_benefit"]))
        rows.append(cells)
    head = ["from", "alerts", "frauds", "precision", "recall"]
    head += ["net benefit"] if with_amounts else []
    return Table(f"{name} by period", head, rows) if rows else None


# -- Figures ---------------------------------------------------------------------------------------


def figures(report: RuleResults) -> dict[str, Figure]:
    """Return the figures of the page by section."""
    evaluation = report.evaluation
    overall = evaluation._polars("overall").row(0, named=True)
    rules = evaluation._polars("rules")
    plot = evaluation.plot
    level = format_confidence_level(evaluation.confidence_level)
    listed = "; ".join(
        f"{row['rule']}: precision {format_percent(row['precision'])}, "
        f"recall {format_percent(row['recall'])}"
        for row in rules.head(20).iter_rows(named=True)
    )
    drawn = {
        "rules": draw_figure(
            plot.rules, name="rules", alt=f"Rules by precision and recall. {listed}.",
            caption=f"Each dot is a rule, its area the number of alerts, its lines the {level} "
            "intervals. Higher is more precise, further right catches more.",
        ),
        "overlap": draw_figure(
            plot.overlap, name="overlap",
            alt=f"Rules that fire together, of {pluralize(overall['alerts'], 'alert')}.",
            caption="Each column is a set of rules that fire together, and no other rule does; the "
            "bars above are their alerts, the dark part frauds.",
        ),
    }  # fmt: skip
    if evaluation.amount is not None:
        chosen = evaluation._polars("greedy").drop_nulls("position")["rule"].to_list()
        drawn["benefit"] = draw_figure(
            plot.benefit, name="benefit",
            alt=f"Cumulative net benefit in greedy order: {', '.join(chosen) or 'no rule'}.",
            caption="Each bar is what the rule adds to those above it.",
        )  # fmt: skip
    if evaluation._polars("by_period").height:
        drawn["time"] = draw_figure(
            lambda: plot.decay("lines", title="Precision by period"), name="time",
            alt="Precision by period of the rules with the most alerts.",
            caption=f"Precision of the rules with the most alerts; bands are {level} intervals. "
            "The tables of each rule are below.",
        )  # fmt: skip
    return drawn
