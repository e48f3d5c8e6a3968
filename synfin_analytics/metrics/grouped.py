"""A model evaluated on each group of the rows, and the groups compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, get_args

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_column_name, check_names, check_string
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import METRICS as METRIC_NAMES
from synfin_analytics._core.formatting import format_group, format_metric, format_number, pluralize
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics._plots import GroupedPlots
from synfin_analytics.metrics._resampling import resample
from synfin_analytics.metrics._row_metrics import prepare_groups
from synfin_analytics.metrics._score_counts import INTERNAL, GroupKey, ScoreCounts
from synfin_analytics.metrics.bootstrap import ALL_METRICS, OF_VALUE, Comparison
from synfin_analytics.metrics.confusion import SHARES
from synfin_analytics.metrics.curve import NO_AMOUNTS
from synfin_analytics.metrics.evaluation import COLUMNS, METRICS, Evaluation, summarize
from synfin_analytics.metrics.proportions import difference_interval, ratio_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from synfin_analytics.metrics._resampling import Sample
    from synfin_analytics.metrics._row_metrics import Rows
    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.evaluation import Threshold
    from synfin_analytics.metrics.proportions import IntervalMethod

    _IntervalFunction: TypeAlias = Callable[[int, int, int, int, float], tuple[float, float]]

#: A group with fewer frauds, or fewer genuine transactions, is marked as small.
_MIN_CLASS_SIZE = 10
#: Columns of :meth:`GroupedEvaluation.to_frame` besides the groups.
_GROUP_COLUMNS = (
    "transactions", "frauds", "small", *(name for name in COLUMNS if name != "baseline"),
)  # fmt: skip
#: Metrics of groups that have a bootstrap.
_COMPARED = tuple(metric for metric in METRICS if metric in ALL_METRICS)
#: Groups that a notebook shows at most.
_MAX_GROUPS = 30


class GroupValue(NamedTuple):
    """A group and the value of a metric in it; None and NaN if no group has a defined value.

    Examples
    --------
    >>> GroupValue("online", 0.75).group
    'online'
    """

    group: GroupKey | None
    value: float


class GroupComparison(NamedTuple):
    """Difference or ratio of a metric between two groups, with its interval.

    Examples
    --------
    >>> GroupComparison(0.2, low=-0.1, high=0.5).value
    0.2
    """

    value: float
    low: float
    high: float


_UNDEFINED_COMPARISON = GroupComparison(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True, eq=False, repr=False)
class GroupedEvaluation(Result):
    """One model, evaluated on each group of the rows; :func:`evaluate` with ``by`` returns it.

    The names are those of fairlearn's ``MetricFrame``. :meth:`to_frame` has one row for each group
    and metric: the columns of the group, ``transactions`` and ``frauds`` of the group, ``small``
    (fewer than 10 frauds or genuine transactions), and ``metric``, ``k``, ``n``, ``note``,
    ``value``, ``value_low`` and ``value_high`` as in :meth:`Evaluation.summary`.

    Attributes
    ----------
    by
        The columns that make the groups.
    groups
        Values of these columns, and the evaluation of the group, in order; NULL is a group.
    overall
        Evaluation of all rows.

    Examples
    --------
    >>> from synfin_analytics import evaluate
    >>> import polars as pl
    >>> df = pl.DataFrame(
    ...     {
    ...         "channel": ["online", "online", "atm", "atm"],
    ...         "is_fraud": [1, 0, 1, 0],
    ...         "fraud_probability": [0.9, 0.8, 0.3, 0.1],
    ...     }
    ... )
    >>> by_channel = evaluate(df, by="channel")
    >>> by_channel.group_min("recall", include_small=True)
    GroupValue(group=('atm',), value=0.0)
    >>> by_channel.difference("recall", include_small=True).value
    1.0
    """

    by: tuple[str, ...]
    groups: tuple[tuple[GroupKey, Evaluation], ...]
    overall: Evaluation

    @property
    def by_group(self) -> pd.DataFrame:
        """Same as ``to_frame()``."""
        return self._table()

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

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> y_true, y_score = [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]
        >>> by_channel = evaluate(y_true, y_score, by=["online", "online", "atm", "atm"])
        >>> by_channel.group_min("recall", include_small=True).group
        ('atm',)
        """
        return self._extreme(min, metric, include_small)

    def group_max(self, metric: str = "recall", *, include_small: bool = False) -> GroupValue:
        """Return the group with the highest value of ``metric``, and the value.

        Parameters and result are those of :meth:`group_min`.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> y_true, y_score = [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]
        >>> by_channel = evaluate(y_true, y_score, by=["online", "online", "atm", "atm"])
        >>> by_channel.group_max("recall", include_small=True).value
        1.0
        """
        return self._extreme(max, metric, include_small)

    def difference(self, metric: str = "recall", *, include_small: bool = False) -> GroupComparison:
        """Return the difference of ``metric`` between the highest and the lowest group.

        The interval is that of Newcombe (1998) for two independent proportions, from their Wilson
        intervals; NaN if the metric is not a proportion. It does not account for the two groups
        having been selected for their difference, and is therefore too narrow.

        Parameters
        ----------
        metric, include_small
            As for :meth:`group_min`.

        Returns
        -------
        GroupComparison
            ``value``, ``low`` and ``high``; NaN with fewer than two groups.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> y_true, y_score = [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]
        >>> by_channel = evaluate(y_true, y_score, by=["online", "online", "atm", "atm"])
        >>> by_channel.difference("recall", include_small=True).value
        1.0
        """
        ends = self._ends(metric, include_small)
        if ends is None:
            return _UNDEFINED_COMPARISON
        (_, low, lowest), (_, high, highest) = ends
        interval = self._interval(metric, highest, lowest, difference_interval)
        return GroupComparison(high - low, *interval)

    def ratio(self, metric: str = "recall", *, include_small: bool = False) -> GroupComparison:
        """Return the ratio of ``metric`` between the lowest and the highest group, from 0 to 1.

        The interval is the score interval of Miettinen and Nurminen (1985) for two independent
        proportions; NaN if the metric is not a proportion. Like that of :meth:`difference`, it is
        too narrow.

        Parameters
        ----------
        metric, include_small
            As for :meth:`group_min`.

        Returns
        -------
        GroupComparison
            ``value``, ``low`` and ``high``; NaN with fewer than two groups.

        Examples
        --------
        >>> from synfin_analytics import evaluate
        >>> y_true, y_score = [1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]
        >>> by_channel = evaluate(y_true, y_score, by=["online", "online", "atm", "atm"])
        >>> by_channel.ratio("accuracy", include_small=True).value
        1.0
        """
        ends = self._ends(metric, include_small)
        if ends is None:
            return _UNDEFINED_COMPARISON
        (_, low, lowest), (_, high, highest) = ends
        interval = self._interval(metric, lowest, highest, ratio_interval)
        return GroupComparison(float(ratio(low, high)), *interval)

    def bootstrap(
        self,
        metric: str = "recall",
        comparison: Comparison = "difference",
        cluster: str = "customer_id",
        *,
        include_small: bool = False,
        n_resamples: int = 1000,
        seed: int = 0,
    ) -> Bootstrap:
        """Return the difference or ratio between groups, with its bootstrap interval.

        Clusters are drawn with all their transactions, in whichever group these are, and the lowest
        and the highest group are determined in each resample anew. Unlike the interval of
        :meth:`difference`, this one therefore accounts for the choice of the two groups and for
        transactions of one customer in several groups. It exists for areas and the value detection
        rate, too.

        Parameters
        ----------
        metric
            ``"alert_rate"``, ``"false_positive_rate"``, ``"recall"`` or another metric of both
            :meth:`Evaluation.summary` and :meth:`Evaluation.bootstrap`.
        comparison
            ``"difference"``, the highest value minus the lowest, or ``"ratio"``, the lowest divided
            by the highest, as in fairlearn.
        cluster
            Column whose values are resampled; of timestamps, days are resampled.
        include_small
            Whether to include small groups, see :meth:`group_min`.
        n_resamples, seed
            Number of resamples, and the seed of their generator.

        Returns
        -------
        Bootstrap
            A difference is never negative: among groups that do not differ, it is greater than 0 by
            chance, and so is its interval. Extremes of resamples are more extreme than those of the
            rows, so that with groups that hardly differ the interval may lie above the value.

        Raises
        ------
        NotFoundError
            The metric has no bootstrap, or the column is not among the rows.
        ArgumentError
            There are fewer than two groups to compare, or as for :meth:`Evaluation.bootstrap`.

        Examples
        --------
        >>> import polars as pl
        >>> from synfin_analytics import evaluate
        >>> df = pl.DataFrame(
        ...     {
        ...         "customer_id": [number // 4 for number in range(400)],
        ...         "channel": ["online" if number % 3 else "atm" for number in range(400)],
        ...         "is_fraud": [number % 5 == 0 for number in range(400)],
        ...         "fraud_probability": [number % 7 / 10 for number in range(400)],
        ...     }
        ... )
        >>> gap = evaluate(df, by="channel").bootstrap("alert_rate", n_resamples=200)
        >>> 0 <= gap.low <= gap.value <= gap.high
        True
        """
        overall = self.overall
        if check_string(metric, "metric", example="recall") not in _COMPARED:
            raise NotFoundError("metric of groups with a bootstrap", metric, _COMPARED)
        if comparison not in get_args(Comparison):
            raise NotFoundError("comparison", comparison, get_args(Comparison))
        if metric in OF_VALUE and overall.counts.fraud_amount is None:
            raise ArgumentError(NO_AMOUNTS)
        samples = prepare_gaps(self, [metric], cluster, include_small=include_small)
        bootstraps = resample(
            {comparison: samples[metric, comparison]},
            n_resamples=n_resamples,
            seed=seed,
            confidence_level=overall.confidence_level,
        )
        return bootstraps[comparison]

    def _extreme(
        self, choose: Callable[..., _Value], metric: str, include_small: bool
    ) -> GroupValue:
        values = self._values(metric, include_small)
        if not values:
            return GroupValue(None, float("nan"))
        group, value, _ = choose(values, key=lambda entry: entry[1])
        return GroupValue(group, value)

    def _ends(self, metric: str, include_small: bool) -> tuple[_Value, _Value] | None:
        """Return the groups with the lowest and the highest value; None for fewer than two."""
        values = self._values(metric, include_small)
        if len(values) < 2:
            return None
        lowest, highest = (choose(values, key=lambda entry: entry[1]) for choose in (min, max))
        return lowest, highest

    def _values(self, metric: str, include_small: bool) -> list[_Value]:
        if check_string(metric, "metric", example="recall") not in METRICS:
            raise NotFoundError("metric", metric, METRICS)
        values = [
            (group, float(getattr(evaluation, metric)), evaluation)
            for group, evaluation in self.groups
            if include_small or not is_small(evaluation)
        ]
        return [entry for entry in values if np.isfinite(entry[1])]

    def _interval(
        self, metric: str, first: Evaluation, second: Evaluation, interval: _IntervalFunction
    ) -> tuple[float, float]:
        if metric not in SHARES or self.overall.counts.weighted:
            return float("nan"), float("nan")
        counts = (*first.confusion.counts(metric), *second.confusion.counts(metric))
        return interval(*counts, self.overall.confidence_level)

    @property
    def plot(self) -> GroupedPlots:
        """Plots of the largest groups, such as ``by_channel.plot.roc()``."""
        largest = sorted(self.groups, key=lambda group: group[1].n, reverse=True)
        return GroupedPlots({format_group_key(group): model for group, model in largest})

    def _table(self) -> pd.DataFrame:
        evaluations = [evaluation for _, evaluation in self.groups]
        overall = self.overall
        frame = summarize(evaluations, overall.interval_method, overall.confidence_level).drop(
            columns="baseline"
        )
        n_metrics = len(frame) // max(len(evaluations), 1)
        repeated = np.repeat(np.arange(len(evaluations)), n_metrics)
        for position, name in enumerate(self.by):
            values = pd.Series([group[position] for group, _ in self.groups])
            frame.insert(position, name, values.take(repeated).reset_index(drop=True))
        dtype = overall.counts.transactions.dtype
        n = np.array([evaluation.n for evaluation in evaluations], dtype)
        n_frauds = np.array([evaluation.n_frauds for evaluation in evaluations], dtype)
        small = np.array([is_small(evaluation) for evaluation in evaluations], np.bool_)
        frame = frame.assign(
            transactions=n[repeated], frauds=n_frauds[repeated], small=small[repeated]
        )
        return frame[[*self.by, *_GROUP_COLUMNS]]

    def _record(self) -> Mapping[str, Any]:
        return {
            "by": self.by,
            "overall": self.overall._record(),
            "groups": [
                {"group": dict(zip(self.by, group, strict=True)), **evaluation._record()}
                for group, evaluation in self.groups
            ],
        }

    def __repr__(self) -> str:
        n_small = sum(is_small(evaluation) for _, evaluation in self.groups)
        return (
            f"GroupedEvaluation({len(self.groups)} groups by {', '.join(self.by)}, {n_small} of "
            f"them small; overall: {self.overall!r})"
        )

    def _repr_html_(self) -> str:
        metrics = ("recall", "precision", "average_precision", "roc_auc")
        head = (
            ", ".join(self.by),
            "transactions",
            "frauds",
            *(METRIC_NAMES[metric][0] for metric in metrics),
        )
        rows = [
            (
                f"{format_group_key(group)}{' (small)' if is_small(evaluation) else ''}",
                format_number(evaluation.n),
                format_number(evaluation.n_frauds),
                *(format_metric(metric, getattr(evaluation, metric)) for metric in metrics),
            )
            for group, evaluation in self.groups[:_MAX_GROUPS]
        ]
        hidden = len(self.groups) - len(rows)
        caption = f"{pluralize(len(self.groups), 'group')} by {', '.join(self.by)}" + (
            f"; {hidden:,} more: see .to_frame()" if hidden else ""
        )
        return table_html(head, rows, caption=caption) + self.overall._repr_html_()


_Value: TypeAlias = "tuple[GroupKey, float, Evaluation]"


def prepare_gaps(
    grouped: GroupedEvaluation,
    metrics: Sequence[str],
    cluster: str,
    *,
    include_small: bool = False,
) -> dict[tuple[str, Comparison], Sample]:
    """Prepare the difference and the ratio of metrics between groups for resampling clusters."""
    overall = grouped.overall
    groups = [key for key, model in grouped.groups if include_small or not is_small(model)]
    if len(groups) < 2:
        raise ArgumentError(
            f"Two groups are needed to compare; got {pluralize(len(groups), 'group')} that is not "
            "small. include_small=True includes the others."
        )
    return prepare_groups(
        overall.known_rows,
        grouped.by,
        groups,
        metrics,
        check_column_name(cluster, "cluster"),
        overall.counts.cast_threshold(overall.threshold.value),
        weighted=overall.counts.weighted,
    )


def format_group_key(group: GroupKey) -> str:
    """Format a group for display."""
    return " · ".join(map(format_group, group))


def is_small(evaluation: Evaluation) -> bool:
    """Whether a group has too few frauds or genuine transactions for reliable metrics."""
    return min(evaluation.n_frauds, evaluation.n - evaluation.n_frauds) < _MIN_CLASS_SIZE


def check_group_columns(by: str | Sequence[str]) -> tuple[str, ...]:
    """Return the columns to group by.

    Raises
    ------
    ArgumentError
        There is no column, a name is not a string or is repeated, or is a column of the result.
    """
    names = check_names(by, "by")
    if taken := [name for name in names if name in _GROUP_COLUMNS or name in INTERNAL]:
        raise ArgumentError(
            f"`by` must be columns with other names than those of the result; got {taken[0]!r}. "
            "Rename the column."
        )
    return names


def group_evaluations(
    by: Sequence[str],
    groups: Iterable[tuple[GroupKey, ScoreCounts]],
    threshold: Threshold,
    interval_method: IntervalMethod,
    confidence_level: float,
    rows: Rows | None = None,
    *,
    overall: ScoreCounts | None = None,
) -> GroupedEvaluation:
    """Evaluate the counts of groups, and all of them together, which are merged if not known."""
    counted = list(groups)
    if overall is None:
        overall = ScoreCounts.merge([counts for _, counts in counted])
    fitted_here = threshold.fitted_on == overall.fingerprint

    def threshold_of(counts: ScoreCounts) -> Threshold:
        # A threshold that was chosen on all rows was chosen on those of each group.
        return replace(threshold, fitted_on=counts.fingerprint) if fitted_here else threshold

    evaluations = tuple(
        (group, Evaluation(counts, threshold_of(counts), interval_method, confidence_level))
        for group, counts in counted
    )
    together = Evaluation(overall, threshold, interval_method, confidence_level, rows)
    return GroupedEvaluation(tuple(by), evaluations, together)
