"""Statistics of rules from their counts: each rule, all together, what each adds, week by week.

All functions return polars frames.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.rules._counts import SUMS, Combinations
from synfin_analytics.rules._intervals import ShareCells, Shares, share_intervals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from synfin_analytics._core.dates import Period
    from synfin_analytics._core.types import Floats, Integers, Mask
    from synfin_analytics.metrics.proportions import IntervalMethod
    from synfin_analytics.rules._counts import RuleCounts

#: Rows of cells and combinations that are computed at once.
_BATCH = 2_000_000
#: Gains that differ by less than this share of all value are equal: sums of amounts are rounded.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Settings:
    """What rules are evaluated with.

    Attributes
    ----------
    cost_per_alert, recovery_rate
        Cost of an alert, and the share of a caught fraud's value that is not lost.
    every
        Length of a period.
    interval_method, confidence_level
        Intervals of precision and recall.
    """

    cost_per_alert: float
    recovery_rate: float
    every: Period
    interval_method: IntervalMethod
    confidence_level: float

    def benefit(self, value_caught: Floats, alerts: Floats) -> Floats:
        """Return the net benefit: value that is not lost, less the cost of alerts."""
        return self.recovery_rate * value_caught - self.cost_per_alert * alerts


class Statistics:
    """Statistics of rules.

    Parameters
    ----------
    names
        Names of the rules.
    counts
        Their counts.
    settings
        Costs, periods and intervals.
    """

    def __init__(self, names: Sequence[str], counts: RuleCounts, settings: Settings) -> None:
        self.names, self.counts, self.settings = list(names), counts, settings
        self.combinations = Combinations.of(counts)
        self.fires = self.combinations.fires
        self._sums = self.combinations.counts
        self.totals = {name: float(counts[name].sum()) for name in SUMS}
        self.n_days = 0
        if counts.time is not None:
            days = counts.time[~np.isnat(counts.time)].astype("datetime64[D]")
            self.n_days = len(np.unique(days))

    # -- Rules and the set ----

    @functools.cached_property
    def by_rule(self) -> dict[str, Floats]:
        """Sums of each rule."""
        return {name: self.combinations.by_rule(sums) for name, sums in self._sums.items()}

    @functools.cached_property
    def _only(self) -> dict[str, Floats]:
        """Sums of the rows on which a rule fires alone."""
        alone = self.fires & (self.fires.sum(axis=1, keepdims=True) == 1)
        return {name: sums @ alone for name, sums in self._sums.items()}

    @functools.cached_property
    def _any(self) -> dict[str, Floats]:
        fired = self.fires.any(axis=1)
        return {name: sums[fired].sum(keepdims=True) for name, sums in self._sums.items()}

    def rules(self) -> pl.DataFrame:
        """Return a row for each rule."""
        masks = [functools.partial(self.counts.fires, rule) for rule in range(len(self.names))]
        only = self._only
        settings = self.settings
        return pl.DataFrame(
            {
                "rule": pl.Series(self.names, dtype=pl.String),
                **self._measures(self.by_rule, masks),
                "lost_frauds": _whole(only["frauds"]),
                "lost_value": only["fraud_amount"],
                "lost_net_benefit": settings.benefit(only["fraud_amount"], only["transactions"]),
                "alerts_only_here": _whole(only["transactions"]),
                "error_rows": self.counts.errors,
            }
        )

    def overall(self) -> pl.DataFrame:
        """Return one row for the rows on which any rule fires."""
        return pl.DataFrame(self._measures(self._any, [self.counts.any_fires]))

    def _measures(
        self, sums: dict[str, Floats], masks: Sequence[Callable[[], Mask]]
    ) -> dict[str, Any]:
        alerts, labelled, frauds = (sums[name] for name in ("transactions", "labelled", "frauds"))
        precision, recall = self._precision(masks), self._recall(masks)
        return {
            "alerts": _whole(alerts),
            "alerts_per_day": ratio(alerts, self.n_days),
            "labelled": _whole(labelled),
            "frauds": _whole(frauds),
            "precision": precision.value,
            "precision_low": precision.low,
            "precision_high": precision.high,
            "recall": recall.value,
            "recall_low": recall.low,
            "recall_high": recall.high,
            "false_positive_ratio": ratio(labelled - frauds, frauds),
            "amount": sums["amount"],
            "value_caught": sums["fraud_amount"],
            "value_detection_rate": ratio(sums["fraud_amount"], self.totals["fraud_amount"]),
            "net_benefit": self.settings.benefit(sums["fraud_amount"], alerts),
            "fraud_clusters": _whole(precision.n_clusters),
        }

    def _precision(self, masks: Sequence[Callable[[], Mask]]) -> Shares:
        counts = self.counts

        def cells(number: int) -> ShareCells:
            rows = np.flatnonzero(masks[number]())
            return self._cells(
                rows, np.full(len(rows), number), counts["frauds"], counts["labelled"]
            )

        return self._shares(len(masks), map(cells, range(len(masks))))

    def _recall(self, masks: Sequence[Callable[[], Mask]]) -> Shares:
        frauds = self.counts["frauds"]
        rows = np.flatnonzero(frauds)

        def cells(number: int) -> ShareCells:
            group = np.full(len(rows), number)
            return self._cells(rows, group, frauds * masks[number](), frauds)

        return self._shares(len(masks), map(cells, range(len(masks))))

    def _cells(self, rows: Integers, group: Integers, part: Floats, whole: Floats) -> ShareCells:
        codes = tuple(code[rows] for code in self.counts.codes)
        return ShareCells(group, part[rows], whole[rows], codes)

    def _shares(self, n_groups: int, cells: Iterator[ShareCells]) -> Shares:
        return share_intervals(
            n_groups,
            _in_batches(cells),
            self.counts.clusters,
            interval_method=self.settings.interval_method,
            confidence_level=self.settings.confidence_level,
        )

    # -- Rules and each other ----

    @functools.cached_property
    def _pairs(self) -> dict[str, Floats]:
        """Alerts and frauds of each pair of rules, as matrices."""
        n_rules = len(self.names)
        pairs = {name: np.zeros((n_rules, n_rules)) for name in ("transactions", "frauds")}
        size = max(1, _BATCH // max(n_rules, 1))
        for start in range(0, len(self.fires), size):
            part = slice(start, start + size)
            fires = self.fires[part].astype(np.float64)
            for name, matrix in pairs.items():
                matrix += fires.T @ (fires * self._sums[name][part, None])
        return pairs

    def overlap(self) -> pl.DataFrame:
        """Return a row for each rule and each other one."""
        n_rules = len(self.names)
        alerts, frauds = self._pairs["transactions"], self._pairs["frauds"]
        first, second = np.nonzero(~np.eye(n_rules, dtype=np.bool_))
        both = alerts[first, second]
        own, other = np.diag(alerts)[first], np.diag(alerts)[second]
        names = np.array(self.names, object)
        return pl.DataFrame(
            {
                "rule": pl.Series(names[first].tolist(), dtype=pl.String),
                "other": pl.Series(names[second].tolist(), dtype=pl.String),
                "alerts_both": _whole(both),
                "frauds_both": _whole(frauds[first, second]),
                "jaccard": ratio(both, own + other - both),
                "share_of_rule": ratio(both, own),
            }
        )

    @functools.cached_property
    def _combination_order(self) -> Integers:
        """Combinations in which rules fire, the one with most alerts first."""
        order = np.flatnonzero(self.fires.any(axis=1))
        return order[np.argsort(-self._sums["transactions"][order], kind="stable")]

    def fires_together(self) -> Mask:
        """Return the rules of each row of :meth:`combination_table`: rows by rules."""
        return self.fires[self._combination_order]

    def combination_table(self) -> pl.DataFrame:
        """Return a row for each set of rules that fire together, the one with most alerts first."""
        n_fire = self.fires.sum(axis=1)
        alerts, order = self._sums["transactions"], self._combination_order
        names = [
            " & ".join(self.names[rule] for rule in np.flatnonzero(self.fires[row]))
            for row in order
        ]
        return pl.DataFrame(
            {
                "rules": pl.Series(names, dtype=pl.String),
                "n_rules": n_fire[order].astype(np.int64),
                "alerts": _whole(alerts[order]),
                "frauds": _whole(self._sums["frauds"][order]),
                "amount": self._sums["amount"][order],
                "value_caught": self._sums["fraud_amount"][order],
            }
        )

    def never_fired(self) -> tuple[str, ...]:
        """Return the rules without an alert."""
        alerts = self.by_rule["transactions"]
        return tuple(name for name, n in zip(self.names, alerts, strict=True) if not n)

    def dominated(self) -> pl.DataFrame:
        """Return each rule whose frauds another one catches with no more false alerts.

        Of rules with the same frauds and as many false alerts, the first dominates the others.
        """
        frauds, labelled = self.by_rule["frauds"], self.by_rule["labelled"]
        false = labelled - frauds
        both = self._pairs["frauds"]
        rows = [
            (rule, other)
            for rule in range(len(self.names))
            for other in range(len(self.names))
            if rule != other and labelled[rule] and labelled[other]
            if both[rule, other] == frauds[rule] and false[other] <= false[rule]
            if other < rule or (frauds[other], -false[other]) != (frauds[rule], -false[rule])
        ]
        return pl.DataFrame(
            {
                "rule": pl.Series([self.names[rule] for rule, _ in rows], dtype=pl.String),
                "by": pl.Series([self.names[other] for _, other in rows], dtype=pl.String),
            }
        )

    def beside(self, reference: int) -> pl.DataFrame:
        """Return a row for each other rule: what it finds that the reference does not."""
        other = self.fires[:, reference]
        rows = []
        for rule, name in enumerate(self.names):
            if rule == reference:
                continue
            own = self.fires[:, rule]
            row: dict[str, Any] = {"rule": name}
            for suffix, mask in (
                ("both", own & other), ("only_rule", own & ~other), ("only_other", other & ~own)
            ):  # fmt: skip
                row[f"alerts_{suffix}"] = int(self._sums["transactions"][mask].sum())
                row[f"frauds_{suffix}"] = int(self._sums["frauds"][mask].sum())
                row[f"value_{suffix}"] = float(self._sums["fraud_amount"][mask].sum())
            rows.append(row)
        return pl.DataFrame(rows)

    # -- The best order ----

    def greedy(self) -> pl.DataFrame:
        """Return the rules in the order in which each adds most net benefit to those before it.

        Of equal gains, the first rule is taken. Rules that add nothing have no position; their
        gains are what each would add to the chosen ones.
        """
        names = ("transactions", "frauds", "fraud_amount", "labelled")
        left = self.fires.any(axis=1)
        fires: Mask = self.fires[left]
        alerts, frauds, value, labelled = (self._sums[name][left] for name in names)
        tolerance = _ROUNDING * (
            self.settings.recovery_rate * np.abs(value).sum()
            + self.settings.cost_per_alert * alerts.sum()
        )
        remaining = list(range(len(self.names)))
        total = dict.fromkeys(("alerts", "labelled", "frauds", "benefit"), 0.0)
        rows: list[tuple[Any, ...]] = []
        while remaining:
            gained_alerts, gained_frauds = (sums @ fires for sums in (alerts, frauds))
            gains = self.settings.benefit(value @ fires, gained_alerts)
            candidates = gains[remaining]
            if not candidates.max() > tolerance:
                break
            best = remaining[int(np.argmax(candidates >= candidates.max() - tolerance))]
            remaining.remove(best)
            covered = fires[:, best]
            total["alerts"] += gained_alerts[best]
            total["labelled"] += labelled[covered].sum()
            total["frauds"] += gained_frauds[best]
            total["benefit"] += gains[best]
            rows.append(
                (
                    len(rows) + 1,
                    self.names[best],
                    int(gained_alerts[best]),
                    int(gained_frauds[best]),
                    float(gains[best]),
                    int(total["alerts"]),
                    int(total["frauds"]),
                    float(ratio(total["frauds"], total["labelled"])),
                    float(ratio(total["frauds"], self.totals["frauds"])),
                    float(total["benefit"]),
                )
            )
            fires = fires[~covered]
            alerts, frauds, value, labelled = (
                sums[~covered] for sums in (alerts, frauds, value, labelled)
            )
        gained_alerts, gained_frauds = (sums @ fires for sums in (alerts, frauds))
        gains = self.settings.benefit(value @ fires, gained_alerts)
        rows += [
            (None, self.names[rule], int(gained_alerts[rule]), int(gained_frauds[rule]),
             float(gains[rule]), None, None, None, None, None)
            for rule in remaining
        ]  # fmt: skip
        return pl.DataFrame(rows, schema=_GREEDY, orient="row")

    # -- Over time ----

    def by_period(self) -> pl.DataFrame:
        """Return a row for each period and rule; no rows without times."""
        counts, n_rules = self.counts, len(self.names)
        if counts.time is None:
            return pl.DataFrame(schema=_BY_PERIOD)
        starts = self.settings.every.start(counts.time)
        known = np.flatnonzero(~np.isnat(starts))
        periods, inverse = np.unique(starts[known], return_inverse=True)
        period = np.full(len(starts), -1)
        period[known] = inverse
        size = len(periods)
        shape = size, n_rules
        sums = {name: np.zeros(shape) for name in SUMS}
        for rule in range(n_rules):
            rows = known[counts.fires(rule)[known]]
            for name, matrix in sums.items():
                matrix[:, rule] = np.bincount(period[rows], counts[name][rows], minlength=size)
        frauds = np.bincount(period[known], counts["frauds"][known], minlength=size)

        def cells(rule: int) -> ShareCells:
            rows = known[counts.fires(rule)[known]]
            group = period[rows] * n_rules + rule
            return self._cells(rows, group, counts["frauds"], counts["labelled"])

        precision = self._shares(size * n_rules, map(cells, range(n_rules)))
        alerts = sums["transactions"]
        return pl.DataFrame(
            {
                "period": _times(np.repeat(periods, n_rules)),
                "rule": pl.Series(self.names * size, dtype=pl.String),
                "alerts": _whole(alerts.ravel()),
                "frauds": _whole(sums["frauds"].ravel()),
                "labelled": _whole(sums["labelled"].ravel()),
                "precision": precision.value,
                "precision_low": precision.low,
                "precision_high": precision.high,
                "recall": ratio(sums["frauds"], frauds[:, None]).ravel(),
                "net_benefit": self.settings.benefit(sums["fraud_amount"], alerts).ravel(),
            },
            schema=_BY_PERIOD,
        )


_GREEDY: dict[str, Any] = {
    "position": pl.Int64,
    "rule": pl.String,
    "gained_alerts": pl.Int64,
    "gained_frauds": pl.Int64,
    "gained_net_benefit": pl.Float64,
    "alerts": pl.Int64,
    "frauds": pl.Int64,
    "precision": pl.Float64,
    "recall": pl.Float64,
    "net_benefit": pl.Float64,
}
_BY_PERIOD: dict[str, Any] = {
    "period": pl.Datetime("us", "UTC"),
    "rule": pl.String,
    "alerts": pl.Int64,
    "frauds": pl.Int64,
    "labelled": pl.Int64,
    "precision": pl.Float64,
    "precision_low": pl.Float64,
    "precision_high": pl.Float64,
    "recall": pl.Float64,
    "net_benefit": pl.Float64,
}


def _in_batches(cells: Iterator[ShareCells]) -> Iterator[ShareCells]:
    """Join the cells of groups to batches, so that few sums are computed on bounded memory."""
    batch: list[ShareCells] = []
    size = 0
    for part in cells:
        batch.append(part)
        size += len(part.group)
        if size > _BATCH:
            yield _join(batch)
            batch, size = [], 0
    if batch:
        yield _join(batch)


def _join(batch: Sequence[ShareCells]) -> ShareCells:
    return ShareCells(
        np.concatenate([part.group for part in batch]),
        np.concatenate([part.part for part in batch]),
        np.concatenate([part.whole for part in batch]),
        tuple(map(np.concatenate, zip(*(part.codes for part in batch), strict=True))),
    )


def _whole(values: Floats) -> Integers:
    return values.astype(np.int64)


def _times(values: NDArray[np.datetime64]) -> pl.Series:
    return pl.Series(values, dtype=pl.Datetime("us")).dt.replace_time_zone("UTC")
