"""Metrics that need the rows: precision@k by day, and bootstraps of customers, cards or days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import narwhals as nw
import numpy as np

from synfin_analytics._core.dataframes import (
    check_columns,
    coerce_object_columns,
    list_columns,
    normalize_types,
    to_numpy_time,
)
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._resampling import (
    Clusters,
    sample_counts,
    sample_entities,
    sample_groups,
    sample_transactions,
)
from synfin_analytics.metrics._score_counts import (
    COUNTED,
    DAY,
    RowCounts,
    ScoreCounts,
    aggregate_scores,
    number_groups,
)
from synfin_analytics.metrics.bootstrap import (
    CARDS,
    OF_VALUE,
    TOP,
    check_metric,
)
from synfin_analytics.metrics.topk import (
    RankedEntities,
    TopK,
    card_precision_at_k,
    check_k,
    precision_at_k,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from synfin_analytics.metrics._known import KnownLabels
    from synfin_analytics.metrics._resampling import Sample
    from synfin_analytics.metrics._score_counts import Floats, GroupKey
    from synfin_analytics.metrics._weights import LabelWeights
    from synfin_analytics.metrics.bootstrap import Comparison, MetricOptions

#: Why an unpickled evaluation of a lazy frame has no rows.
LEFT_BEHIND = (
    "This evaluation was pickled without its rows, which are a lazy frame or a database. Its "
    "metrics and curves are complete, but days, entities and clusters are unknown. Call evaluate "
    "again where the rows are."
)


class Rows(Protocol):
    """Labelled rows of a model, in a frame or a database.

    Each method raises an ArgumentError if the rows have changed since they were evaluated.
    """

    def by_day(self, day: str, k: int) -> nw.DataFrame[Any]:
        """Count by day (:data:`DAY`) and score; of each day at least the ``k`` highest rows."""

    def by_entity(self, day: str, entity: str) -> nw.DataFrame[Any]:
        """Count by day, ``entity`` and score."""

    def by_cluster(
        self,
        cluster: str,
        day: str | None = None,
        *,
        by: Sequence[str] = (),
        amount: bool = False,
    ) -> nw.DataFrame[Any]:
        """Count by ``cluster`` and score and, if ``day`` is not None, by day.

        Without ``day``, a ``cluster`` of timestamps is counted by its days. ``by`` are columns to
        group by, too; ``amount`` adds the sums of the amounts.
        """


@dataclass(frozen=True, eq=False)
class FrameRows:
    """Rows of a frame, of any engine.

    Parameters
    ----------
    df
        See :func:`snapshot`.
    label, score, amount, weight
        Column names; ``weight`` may be the weights of labels.
    counts
        The counts of the frame when it was evaluated.
    known
        Count only what was known at a time.
    """

    df: Any
    label: str
    score: str
    amount: str | None
    weight: str | LabelWeights | None
    counts: ScoreCounts
    known: KnownLabels | None = None

    def by_day(self, day: str, k: int) -> nw.DataFrame[Any]:  # noqa: ARG002 - returns all rows
        """Count by day and score."""
        return self._count([], day)

    def by_entity(self, day: str, entity: str) -> nw.DataFrame[Any]:
        """Count by day, entity and score."""
        return self._count([entity], day)

    def by_cluster(
        self,
        cluster: str,
        day: str | None = None,
        *,
        by: Sequence[str] = (),
        amount: bool = False,
    ) -> nw.DataFrame[Any]:
        """Count by cluster and score, or by day and score."""
        if day is None and self._is_time(cluster):
            return self._count([*by], cluster, amount=amount)
        return self._count([*dict.fromkeys((*by, cluster))], day, amount=amount)

    def _count(
        self, keys: list[str], day: str | None = None, *, amount: bool = False
    ) -> nw.DataFrame[Any]:
        self._check_present()
        column = self.amount if amount else None
        try:
            counts = aggregate_scores(
                self.df, keys, self.label, self.score, column, self.weight, self.known, day=day
            )
        except (nw.exceptions.NarwhalsError, OSError) as error:
            raise ArgumentError(
                "The frame must still hold the rows that were evaluated; reading it again failed "
                f"with {type(error).__name__}. Call evaluate again."
            ) from error
        counts = counts.filter(nw.col(COUNTED[0]) > 0)
        if not self.counts.same_as(ScoreCounts.from_frame(counts, weighted=self.counts.weighted)):
            raise ArgumentError(
                "The frame must still hold the rows that were evaluated; got other scores, labels "
                "or amounts. Call evaluate again."
            )
        return counts

    def _is_time(self, name: str) -> bool:
        self._check_present()
        if nw.dependencies.is_dask_dataframe(self.df):
            return name in self.df and self.df[name].dtype.kind == "M"
        frame = nw.from_native(self.df)
        check_columns([name], list_columns(frame))
        if isinstance(frame, nw.DataFrame):
            frame = coerce_object_columns(normalize_types(frame.select(name)), [name])
        schema = frame.collect_schema()
        return isinstance(schema[name], nw.Datetime) or schema[name] == nw.Date

    def _check_present(self) -> None:
        if self.df is None:
            raise ArgumentError(LEFT_BEHIND)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrameRows:
        return self  # immutable

    def __getstate__(self) -> dict[str, Any]:
        """Leave a lazy frame behind: its engine, connection or files may not exist elsewhere."""
        state = dict(self.__dict__)
        if not isinstance(nw.from_native(self.df, pass_through=True), nw.DataFrame):
            state["df"] = None
        return state


def snapshot(df: Any) -> Any:
    """Return a frame that later assignments to ``df`` do not change, without copying its rows.

    pandas copies a column when it is written to, and polars never changes a column. Where this is
    not enough, as with the files of a lazy frame or NumPy's memory below a frame, the rows are
    compared with their counts whenever they are read again.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame({"p": [0.5, 0.5]})
    >>> kept = snapshot(df)
    >>> df.loc[0, "p"] = 0.9
    >>> kept["p"].tolist()
    [0.5, 0.5]
    """
    df = nw.to_native(df, pass_through=True)
    if nw.dependencies.is_pandas_dataframe(df):
        return df.copy(deep=False)
    if nw.dependencies.is_dask_dataframe(df):
        return df.copy()
    if nw.dependencies.is_polars_dataframe(df) or nw.dependencies.is_polars_lazyframe(df):
        return df.clone()
    return df


# -- Metrics ---------------------------------------------------------------------------------------


def top_transactions(rows: Rows, k: int, day: str) -> TopK:
    """Compute precision@k of the rows."""
    counts = rows.by_day(day, check_k(k))
    of_score = RowCounts.from_frame(counts)
    return precision_at_k(_days(counts), of_score.score, of_score.transactions, of_score.frauds, k)


def top_entities(rows: Rows, k: int, day: str, entity: str) -> TopK:
    """Compute card precision@k of the rows."""
    check_k(k)
    return card_precision_at_k(*_highest_by_entity(rows.by_entity(day, entity), entity), k)


def prepare_samples(
    rows: Rows,
    metrics: Sequence[str],
    cluster: str | None,
    threshold: float,
    options: MetricOptions,
    *,
    weighted: bool = False,
) -> dict[str, Sample]:
    """Prepare metrics for resampling; rows are read once for all metrics that share them.

    Parameters
    ----------
    rows
        The rows of one model.
    metrics, cluster, options
        As for :meth:`Evaluation.bootstrap`.
    threshold
        In the type of the scores, see :meth:`ScoreCounts.cast_threshold`.
    weighted
        Whether the rows have weights.
    """
    samples: dict[str, Sample] = {}
    from_counts = [metric for metric in map(check_metric, metrics) if metric not in (TOP, CARDS)]
    if from_counts:
        unit = options.cluster_column(from_counts[0], cluster)
        counts = rows.by_cluster(unit, amount=bool(OF_VALUE.intersection(metrics)))
        of_score = RowCounts.from_frame(counts, weighted=weighted)
        samples = sample_counts(from_counts, _clusters(counts, unit), of_score, threshold, options)
    if CARDS in metrics:
        _, samples[CARDS] = prepare_entities(rows, cluster, options)
    if TOP in metrics:
        unit = options.cluster_column(TOP, cluster)
        by_day = unit == options.day
        counts = rows.by_cluster(unit, None if by_day else options.day)
        days = _days(counts)
        clusters = Clusters(unit, days if by_day else _names(counts, unit), by_day)
        samples[TOP] = sample_transactions(days, clusters, RowCounts.from_frame(counts), options)
    return {metric: samples[metric] for metric in metrics}


def prepare_entities(
    rows: Rows, cluster: str | None, options: MetricOptions
) -> tuple[TopK, Sample]:
    """Compute card precision@k of the rows, and prepare it for resampling; rows are read once."""
    k, entity = check_k(options.k), options.entity
    unit = options.cluster_column(CARDS, cluster)
    counts = rows.by_entity(options.day, entity)
    by_day = unit == options.day
    clusters = Clusters(unit, _days(counts) if by_day else _names(counts, entity), by_day)
    ranked = RankedEntities.from_arrays(*_highest_by_entity(counts, entity))
    sample = sample_entities(clusters, RowCounts.from_frame(counts), ranked, options)
    return ranked.precision_at_k(k), sample


def prepare_groups(
    rows: Rows,
    by: Sequence[str],
    groups: Sequence[GroupKey],
    metrics: Sequence[str],
    cluster: str,
    threshold: float,
    *,
    weighted: bool = False,
) -> dict[tuple[str, Comparison], Sample]:
    """Prepare the difference and the ratio of metrics between some groups for resampling.

    Parameters
    ----------
    rows, threshold, weighted
        As for :func:`prepare_samples`.
    by, groups
        Columns to group by, and the groups to compare.
    metrics, cluster
        As for :meth:`GroupedEvaluation.bootstrap`.
    """
    counts = rows.by_cluster(cluster, by=by, amount=bool(OF_VALUE.intersection(metrics)))
    keys, group = number_groups(counts, by)
    compared = np.isin(group, [number for number, key in enumerate(keys) if key in set(groups)])
    of_score = RowCounts.from_frame(counts, weighted=weighted).take(compared)
    clusters = _clusters(counts, cluster).take(compared)
    return sample_groups(metrics, clusters, group[compared], of_score, threshold)


def _clusters(counts: nw.DataFrame[Any], name: str) -> Clusters:
    """Return the clusters of counts; a column of times was counted by its days."""
    is_time = DAY in counts.columns
    return Clusters(name, _days(counts) if is_time else _names(counts, name), is_time)


def _days(counts: nw.DataFrame[Any]) -> NDArray[np.datetime64]:
    if counts[DAY].is_null().any():
        raise ArgumentError(
            "The column of days must have a timestamp in each labelled row; got missing ones. Fill "
            "or drop these rows."
        )
    return to_numpy_time(counts[DAY]).astype("datetime64[D]")


def _names(counts: nw.DataFrame[Any], name: str) -> NDArray[Any]:
    """Return the entities or clusters of counts as NumPy can sort them."""
    column = counts[name]
    if column.is_null().any():
        raise ArgumentError(
            f"Column {name!r} must have a value in each labelled row; got missing ones. Fill or "
            "drop these rows."
        )
    if column.dtype.is_numeric():
        numbers: NDArray[Any] = column.to_numpy()
        return numbers
    return np.array([str(value) for value in column.to_list()], dtype=np.str_)


def _highest_by_entity(
    counts: nw.DataFrame[Any], entity: str
) -> tuple[NDArray[np.datetime64], NDArray[Any], Floats, NDArray[np.bool_]]:
    """Return day, entity, highest score and whether there was fraud, of each entity on each day."""
    days, names, of_score = _days(counts), _names(counts, entity), RowCounts.from_frame(counts)
    _, code = np.unique(names, return_inverse=True)
    order = np.lexsort((-of_score.score, code, days))
    days, names, code = days[order], names[order], code[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (code[1:] != code[:-1]) | (days[1:] != days[:-1])
    starts = np.flatnonzero(first)
    frauds = of_score.frauds
    if len(starts):
        frauds = np.add.reduceat(frauds[order], starts)
    return days[first], names[first], of_score.score[order][first], frauds > 0
