"""A changed rule and its former version on the same rows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import pluralize
from synfin_analytics.metrics._clusters import MIN_RELIABLE
from synfin_analytics.rules._intervals import Spread, linear_interval, paired_interval, spread

if TYPE_CHECKING:
    from synfin_analytics._core.types import Floats
    from synfin_analytics.rules._counts import RuleCounts
    from synfin_analytics.rules._statistics import Settings

_SCHEMA = {
    "measure": pl.String,
    "old": pl.Float64,
    "new": pl.Float64,
    "difference": pl.Float64,
    "difference_low": pl.Float64,
    "difference_high": pl.Float64,
    "n_clusters": pl.Int64,
    "note": pl.String,
}


def compare_rules(counts: RuleCounts, settings: Settings, old: int, new: int) -> pl.DataFrame:
    """Return the differences of two rules, with intervals; see ``RuleEvaluation.compare``.

    Parameters
    ----------
    counts, settings
        Counts of the rules, and what they are evaluated with.
    old, new
        Numbers of the two rules.
    """
    old_fires, new_fires = counts.fires(old), counts.fires(new)
    # Rows without an alert of either, and not fraud, add to no difference.
    used = old_fires | new_fires | (counts["frauds"] > 0)
    codes = tuple(code[used] for code in counts.codes)
    a, b = old_fires[used].astype(np.float64), new_fires[used].astype(np.float64)
    n, labelled, frauds, value, squares = (
        counts[name][used]
        for name in ("transactions", "labelled", "frauds", "fraud_amount", "fraud_squares")
    )
    genuine, change, differs = labelled - frauds, b - a, (a != b).astype(np.float64)
    level = settings.confidence_level
    rows = []

    def add(
        measure: str, ends: tuple[float, float], of: Spread, before: float, after: float
    ) -> None:
        note = _note(after - before, ends, of)
        rows.append((measure, before, after, after - before, *ends, of.n_clusters, note))

    # Precision: z is one number for the frauds of a cell, and another for its genuine rows.
    old_precision, new_precision = (
        float(ratio((fires * frauds).sum(), (fires * labelled).sum())) for fires in (a, b)
    )
    old_labelled, new_labelled = (fires @ labelled for fires in (a, b))
    of_fraud, of_genuine = (
        b * ratio(y - new_precision, new_labelled) - a * ratio(y - old_precision, old_labelled)
        for y in (1.0, 0.0)
    )
    add_up = np.nan_to_num(of_fraud), np.nan_to_num(of_genuine)
    precision = spread(
        add_up[0] * frauds + add_up[1] * genuine,
        add_up[0] ** 2 * frauds + add_up[1] ** 2 * genuine,
        np.where(add_up[0] != 0, frauds, 0) + np.where(add_up[1] != 0, genuine, 0),
        codes,
    )
    ends = linear_interval(new_precision - old_precision, precision, level)
    add("precision", _within(ends), precision, old_precision, new_precision)

    # Recall: paired proportions of the frauds, divided by the design effect.
    total = float(frauds.sum())
    gained, lost = float(frauds[change > 0].sum()), float(frauds[change < 0].sum())
    z = change - np.nan_to_num(ratio(gained - lost, total))
    all_frauds = spread(z * frauds, z**2 * frauds, frauds, codes)
    discordant = spread(change * frauds, differs * frauds, differs * frauds, codes)
    design = _design(all_frauds, discordant, frauds, codes)
    ends = paired_interval(gained, lost, total, design, discordant, level)
    old_recall, new_recall = (float(ratio(fires @ frauds, total)) for fires in (a, b))
    add("recall", ends, discordant, old_recall, new_recall)

    # Totals: a row adds what it adds to them.
    sizes = [int(code.max(initial=-1)) + 1 for code in counts.codes]
    alerts = spread(change * n, differs * n, differs * n, codes, sizes)
    ends = linear_interval(float(change @ n), alerts, level)
    add("alerts", ends, alerts, float(a @ n), float(b @ n))
    gain = settings.benefit(value, n)
    with np.errstate(over="ignore", invalid="ignore"):  # squares of huge amounts
        gain_squares = (
            settings.recovery_rate**2 * squares
            - 2 * settings.recovery_rate * settings.cost_per_alert * value
            + settings.cost_per_alert**2 * n
        )
        benefit = spread(change * gain, differs * gain_squares, differs * n, codes, sizes)
    n_clusters = min(benefit.n_clusters, discordant.n_clusters)
    freedom = min(benefit.freedom, max(n_clusters - 1, 1))
    benefit = dataclasses.replace(benefit, n_clusters=n_clusters, freedom=freedom)
    ends = linear_interval(float(change @ gain), benefit, level)
    add("net_benefit", ends, benefit, float(a @ gain), float(b @ gain))
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _within(ends: tuple[float, float]) -> tuple[float, float]:
    """Limit an interval to the differences that two proportions can have."""
    low, high = np.clip(ends, -1.0, 1.0)
    return float(low), float(high)


def _design(
    all_frauds: Spread, discordant: Spread, frauds: Floats, codes: tuple[np.ndarray, ...]
) -> float:
    """Return the design effect of a difference of recalls, at least 1.

    With fewer than two clusters whose frauds differ, it is that of clusters whose frauds are all
    alike.
    """
    if discordant.n_clusters > 1 and all_frauds.independent > 0:
        correction = discordant.n_clusters / (discordant.n_clusters - 1)
        return max(1.0, correction * all_frauds.variance / all_frauds.independent)
    largest = [
        ratio((np.bincount(code[code >= 0], frauds[code >= 0]) ** 2).sum(), frauds.sum())
        for code in codes
    ]
    return max([1.0, *map(float, np.nan_to_num(largest))])


def _note(difference: float, ends: tuple[float, float], of: Spread) -> str:
    """Return why an interval is missing or rough; "" otherwise."""
    if not np.isfinite(difference):
        return "The difference is not defined."
    if not np.isfinite(of.variance):
        return "The amounts are too large for an interval."
    if not np.isfinite(ends[0]):
        return (
            "The rules differ in fewer than two clusters in what this measures: there is no "
            "interval."
        )
    if of.n_clusters < MIN_RELIABLE:
        where = pluralize(of.n_clusters, "cluster")
        return f"The rules differ in {where} only: the interval is rough."
    return ""
