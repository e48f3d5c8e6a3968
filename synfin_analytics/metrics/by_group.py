"""A model by group: every metric of each, the worst group, and how far the groups are apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.arguments import check_names, check_string
from synfin_analytics._core.html import table_html
from synfin_analytics._core.metric_format import METRICS as NAMES
from synfin_analytics._core.metric_format import format_metric
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics._rows import FrameRows
from synfin_analytics.metrics._scored import INTERNAL, grouped_score_counts
from synfin_analytics.metrics._scores import ScoreCounts
from synfin_analytics.metrics._summary import METRICS, summaries
from synfin_analytics.metrics.confusion import SHARES
from synfin_analytics.metrics.evaluation import Evaluation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from synfin_analytics.metrics._rows import Rows
    from synfin_analytics.metrics.proportions import IntervalMethod
    from synfin_analytics.metrics.threshold import Threshold

#: A group with fewer frauds, or fewer genuine transactions, is marked as small.
SMALL = 10
#: Columns of :meth:`GroupedEvaluation.to_frame` besides the groups.
MEASURES = (
    "transactions", "frauds", "small", "metric", "k", "n", "note", "value", "value_low",
    "value_high",
)  # fmt: skip
#: Groups that are shown in a notebook at most.
_SHOWN = 30


class GroupValue(NamedTuple):
    """A group, and the value of a metric in it."""

    group: tuple[Any, ...] | None
    value: float


@dataclass(frozen=True, eq=False, repr=False)
class GroupedEvaluation:
    """The same model, evaluated on each group of the rows.

    Attributes
    ----------
    by
        The columns that make the groups.
    groups
        Values of these columns, and the evaluation of the group, in order; NULL is a group.
    overall
        Evaluation of all rows.
    """

    by: tuple[str, ...]
    groups: tuple[tuple[tuple[Any, ...], Evaluation], ...]
    overall: Evaluation

    @property
    def by_group(self) -> pd.DataFrame:
        """Same as :meth:`to_frame`, under fairlearn's name."""
        return self.to_frame()

    def to_frame(self) -> pd.DataFrame:
        """Return every metric of every group.

        Returns
        -------
        pandas.DataFrame
            The groups, ``transactions`` and ``frauds`` of each and ``small``: whether it has fewer
            than 10 frauds or genuine transactions; then ``metric``, ``k``, ``n``, ``note``,
            ``value``, ``value_low`` and ``value_high`` as in :meth:`Evaluation.summary`.
        """
        frame = summaries([one for _, one in self.groups]).drop(columns="baseline")
        repeated = np.repeat(np.arange(len(self.groups)), len(METRICS))
        for at, name in enumerate(self.by):
            values = pd.Series([key[at] for key, _ in self.groups])
            frame.insert(at, name, values.take(repeated).reset_index(drop=True))
        sizes = {
            "transactions": [one.n for _, one in self.groups],
            "frauds": [one.n_frauds for _, one in self.groups],
            "small": [is_small(one) for _, one in self.groups],
        }
        for name, numbers in sizes.items():
            kind = np.bool_ if name == "small" else np.int64
            frame[name] = np.array(numbers, kind)[repeated]
        return frame[[*self.by, *MEASURES]]

    def group_min(self, metric: str = "recall", *, include_small: bool = False) -> GroupValue:
        """Return the group with the lowest value of ``metric``, and the value.

        Parameters
        ----------
        metric
            A metric of :meth:`Evaluation.summary`.
        include_small
            Whether to include small groups, whose values are often due to chance.

        Returns
        -------
        GroupValue
            ``group`` and ``value``; None and NaN if no group has a defined value.
        """
        return self._extreme(min, metric, include_small=include_small)

    def group_max(self, metric: str = "recall", *, include_small: bool = False) -> GroupValue:
        """Return the group with the highest value of ``metric``, and the value.

        Parameters and result as for :meth:`group_min`.
        """
        return self._extreme(max, metric, include_small=include_small)

    def _extreme(self, choose: Any, metric: str, *, include_small: bool) -> GroupValue:
        values = self._values(metric, include_small=include_small)
        if not values:
            return GroupValue(None, float("nan"))
        group, value, _ = choose(values, key=lambda entry: entry[1])
        return GroupValue(group, value)

    def difference(
        self, metric: str = "recall", *, include_small: bool = False
    ) -> tuple[float, float, float]:
        """Largest difference of ``metric`` between two groups, and its interval.

        The interval is that of Newcombe for two independent proportions, from their Wilson
        intervals; NaN where the metric is none. It takes no account of the two groups having been
        picked for their difference, and is therefore too narrow.
        """
        values = self._values(metric, include_small=include_small)
        if len(values) < 2:
            return (float("nan"),) * 3
        (_, low, worse), (_, high, better) = (
            choose(values, key=lambda one: one[1]) for choose in (min, max)
        )
        if metric not in SHARES:
            return high - low, float("nan"), float("nan")
        from statsmodels.stats.proportion import confint_proportions_2indep

        k1, n1 = better.confusion.counts(metric)
        k2, n2 = worse.confusion.counts(metric)
        ends = confint_proportions_2indep(
            k1, n1, k2, n2, method="newcomb", alpha=1 - self.overall.confidence_level
        )
        return high - low, float(ends[0]), float(ends[1])

    def _values(self, metric: str, *, include_small: bool) -> list[_Value]:
        if check_string(metric, "metric", example="recall") not in METRICS:
            raise NotFoundError("metric", metric, METRICS)
        found = [
            (key, float(getattr(one, metric)), one)
            for key, one in self.groups
            if include_small or not is_small(one)
        ]
        return [one for one in found if np.isfinite(one[1])]

    def __repr__(self) -> str:
        few = sum(is_small(one) for _, one in self.groups)
        return (
            f"GroupedEvaluation({len(self.groups)} groups by {', '.join(self.by)}, {few} of them "
            f"small; overall: {self.overall!r})"
        )

    def _repr_html_(self) -> str:
        shown = ("recall", "precision", "average_precision", "roc_auc")
        head = (
            ", ".join(self.by),
            "transactions",
            "frauds",
            *(NAMES[one][0] for one in shown),
        )
        rows = [
            (
                f"{name}{' (small)' if is_small(one) else ''}",
                f"{one.n:,}",
                f"{one.n_frauds:,}",
                *(format_metric(metric, getattr(one, metric)) for metric in shown),
            )
            for name, one in [(group_name(key), one) for key, one in self.groups[:_SHOWN]]
        ]
        more = len(self.groups) - len(rows)
        caption = f"{wording.pluralize(len(self.groups), 'group')} by {', '.join(self.by)}" + (
            f"; {more:,} more: see .to_frame()" if more else ""
        )
        return table_html(head, rows, caption=caption) + self.overall._repr_html_()


_Value: TypeAlias = "tuple[tuple[Any, ...], float, Evaluation]"


def group_name(key: tuple[Any, ...]) -> str:
    """Name a group as people read it."""
    return " · ".join(map(wording.format_group, key))


def is_small(one: Evaluation) -> bool:
    """Whether a group has too few of a class to say much."""
    return min(one.n_frauds, one.n - one.n_frauds) < SMALL


def evaluate_groups(
    df: Any,
    by: str | Sequence[str],
    label: str,
    score: str,
    threshold: Threshold,
    amount: str | None,
    interval_method: IntervalMethod,
    confidence_level: float,
) -> GroupedEvaluation:
    """Evaluate each group of a frame; see :func:`synfin_analytics.evaluate`."""
    names = check_groups(by)
    if taken := [name for name in (label, score) if name in names]:
        raise ArgumentError(
            f"`by` must be columns other than the label and the score; got {taken[0]!r}."
        )
    groups = grouped_score_counts(df, names, label, score, amount)
    found = grouped(names, groups, threshold, interval_method, confidence_level)
    rows = FrameRows(df, label, score, amount, found.overall.counts)
    return replace(found, overall=replace(found.overall, rows=rows))


def check_groups(by: str | Sequence[str]) -> tuple[str, ...]:
    """Return the columns to group by; refuse names that the result has for something else.

    Raises
    ------
    ArgumentError
        No column is named, one is not a text, repeated, or a column of the result.
    """
    names = check_names(by, "by")
    if taken := [name for name in names if name in MEASURES or name in INTERNAL]:
        raise ArgumentError(
            f"`by` must be columns that are named differently from those of the result; got "
            f"{taken[0]!r}. Rename the column."
        )
    return names


def grouped(
    by: Sequence[str],
    groups: Iterable[tuple[tuple[Any, ...], ScoreCounts]],
    threshold: Threshold,
    interval_method: IntervalMethod,
    confidence_level: float,
    rows: Rows | None = None,
) -> GroupedEvaluation:
    """Evaluate counts by group, and all of them together."""
    counted = list(groups)
    merged = ScoreCounts.merged([counts for _, counts in counted])
    here = threshold.fitted_on == merged.fingerprint

    def at(counts: ScoreCounts) -> Threshold:
        # What was chosen on all rows was chosen on those of each group.
        return replace(threshold, fitted_on=counts.fingerprint) if here else threshold

    evaluations = tuple(
        (key, Evaluation(counts, at(counts), interval_method, confidence_level))
        for key, counts in counted
    )
    overall = Evaluation(merged, threshold, interval_method, confidence_level, rows)
    return GroupedEvaluation(tuple(by), evaluations, overall)
