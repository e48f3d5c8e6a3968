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
    to_numpy_float,
    to_numpy_time,
)
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._checksum import same_sums
from synfin_analytics.metrics._reductions import (
    BinnedScores,
    FirstEntities,
    FirstOfClusters,
    FirstScores,
)
from synfin_analytics.metrics._resampling import (
    Clusters,
    sample_counts,
    sample_groups,
    sample_top,
    sum_of_days,
)
from synfin_analytics.metrics._score_bins import Binning, ScoreBins, check_score_bins
from synfin_analytics.metrics._score_counts import (
    BIN,
    CHECKSUMS,
    COUNTED,
    DAY,
    KEPT,
    OMITTED,
    RowCounts,
    ScoreCounts,
    aggregate_scores,
    number_groups,
)
from synfin_analytics.metrics._statistics import (
    OF_CURVE,
    OF_SCORES,
    TopEntities,
    TopTransactions,
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
    check_k,
    precision_at_k,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from typing_extensions import TypeIs

    from synfin_analytics.metrics._aggregate import Reduction
    from synfin_analytics.metrics._known import KnownLabels
    from synfin_analytics.metrics._resampling import Sample
    from synfin_analytics.metrics._score_counts import GroupKey
    from synfin_analytics.metrics._statistics import Statistic
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

    @property
    def is_lazy(self) -> bool:
        """Whether the rows are in an engine that reduces counts before they travel."""
        if nw.dependencies.is_dask_dataframe(self.df):
            return True
        return not isinstance(nw.from_native(self.df, pass_through=True), nw.DataFrame)

    def by_day(self, day: str, k: int) -> nw.DataFrame[Any]:
        """Count by day and score; a lazy frame sums the scores below the ``k`` highest rows."""
        return self._count([], day, reduction=FirstScores(k) if self.is_lazy else None)

    def by_entity(
        self, day: str, entity: str, reduction: Reduction | None = None
    ) -> nw.DataFrame[Any]:
        """Count by day, entity and score, or what the engine leaves of that."""
        return self._count([entity], day, reduction=reduction)

    def by_cluster(
        self,
        cluster: str,
        day: str | None = None,
        *,
        by: Sequence[str] = (),
        amount: bool = False,
        reduction: Reduction | None = None,
    ) -> nw.DataFrame[Any]:
        """Count by cluster and score, or by day and score, or what the engine leaves of that."""
        if day is None and self._is_time(cluster):
            return self._count([*by], cluster, amount=amount, reduction=reduction)
        keys = [*dict.fromkeys((*by, cluster))]
        return self._count(keys, day, amount=amount, reduction=reduction)

    def _count(
        self,
        keys: list[str],
        day: str | None = None,
        *,
        amount: bool = False,
        reduction: Reduction | None = None,
    ) -> nw.DataFrame[Any]:
        self._check_present()
        column = self.amount if amount else None
        columns = (self.label, self.score, column, self.weight, self.known)
        try:
            counts = aggregate_scores(self.df, keys, *columns, day=day, reduction=reduction)
        except nw.exceptions.NarwhalsError as error:
            raise ArgumentError(
                "The frame must still hold the rows that were evaluated; reading it again failed "
                f"with {type(error).__name__}. Call evaluate again."
            ) from error
        counts = counts.filter(nw.col(COUNTED[0]) > 0)
        if not self._are_same(counts, reduced=reduction is not None):
            raise ArgumentError(
                "The frame must still hold the rows that were evaluated; got other scores, labels "
                "or amounts. Call evaluate again."
            )
        return counts

    def _are_same(self, counts: nw.DataFrame[Any], *, reduced: bool) -> bool:
        """Whether counts are of the rows that were evaluated."""
        if not reduced:
            again = ScoreCounts.from_frame(counts, weighted=self.counts.weighted)
            return self.counts.same_as(again)
        names = [name for name in (*COUNTED, *CHECKSUMS) if name in counts.columns]
        sums = {name: float(to_numpy_float(counts[name]).sum()) for name in names}
        return same_sums(self.counts, sums)

    def _is_time(self, name: str) -> bool:
        self._check_present()
        frame = self.df
        if nw.dependencies.is_dask_dataframe(frame):
            if name not in frame or frame[name].dtype != object:
                return name in frame and frame[name].dtype.kind == "M"
            frame = frame[[name]].dropna().head(1, npartitions=-1)  # what the objects are
        frame = nw.from_native(frame)
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
        if self.is_lazy:
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
    counts = _read_entities(rows, day, entity, FirstEntities(entity, check_k(k)))
    return _rank_entities(counts, entity).precision_at_k(k)


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
        samples = _prepare_counts(rows, from_counts, unit, threshold, options, weighted=weighted)
    if CARDS in metrics:
        _, samples[CARDS] = prepare_entities(rows, cluster, options)
    if TOP in metrics:
        samples[TOP] = _prepare_transactions(rows, options.cluster_column(TOP, cluster), options)
    return {metric: samples[metric] for metric in metrics}


def _prepare_counts(
    rows: Rows,
    metrics: Sequence[str],
    unit: str,
    threshold: float,
    options: MetricOptions,
    *,
    weighted: bool,
) -> dict[str, Sample]:
    """Prepare metrics that follow from counts by score; a lazy frame counts by bin of the score."""
    amount = bool(OF_VALUE.intersection(metrics))
    n_bins = check_score_bins(options.score_bins)
    if not _is_lazy(rows) or (n_bins is None and OF_CURVE.intersection(metrics)):
        counts = rows.by_cluster(unit, amount=amount)
        of_score = RowCounts.from_frame(counts, weighted=weighted)
        return sample_counts(metrics, _clusters(counts, unit), of_score, threshold, options)
    bins = ScoreBins.at_threshold(threshold)
    if n_bins is not None and OF_CURVE.intersection(metrics):
        bins = ScoreBins.of_frauds(rows.counts, n_bins, threshold)
    reduction = BinnedScores(bins, losses=bool(OF_SCORES.intersection(metrics)))
    counts = rows.by_cluster(unit, amount=amount, reduction=reduction)
    binning = Binning(to_numpy_float(counts[BIN]).astype(np.intp), bins, rows.counts)
    of_bin = RowCounts.from_frame(counts, bins.lowest[binning.numbers], weighted=weighted)
    clusters = _clusters(counts, unit)
    return sample_counts(metrics, clusters, of_bin, threshold, options, binning=binning)


def _prepare_transactions(rows: Rows, unit: str, options: MetricOptions) -> Sample:
    """Prepare precision@k."""
    k, day = check_k(options.k), options.day
    if unit == day:
        counts = rows.by_day(day, k)
        days, of_score = _days(counts), RowCounts.from_frame(counts)
        of_days = precision_at_k(
            days, of_score.score, of_score.transactions, of_score.frauds, k
        ).daily["hits"]
        total = sum_of_days(of_days.to_numpy(), k)
        return sample_top(TOP, Clusters(unit, days, by_day=True), of_score, total)

    def read(depth: int) -> tuple[Clusters, RowCounts, TopTransactions]:
        if _is_lazy(rows):
            reduction = FirstOfClusters(unit, depth)
            counts = rows.by_cluster(unit, day, reduction=reduction)
        else:
            counts = rows.by_cluster(unit, day)
        kept = _is_kept(counts)
        days = _days(_only_kept(counts))
        clusters, of_score = Clusters(unit, _names(counts, unit)), RowCounts.from_frame(counts)
        _, codes = np.unique(clusters.values, return_inverse=True)
        omitted = _omitted(counts)[kept]
        top = TopTransactions.from_counts(days, codes[kept], of_score.take(kept), k, omitted)
        return clusters, of_score, top

    depth = _first_depth(k)
    clusters, of_score, top = read(depth)
    top.read, top.depth = lambda deeper: read(deeper)[2], depth
    return sample_top(TOP, clusters, of_score, top)


def prepare_entities(
    rows: Rows, cluster: str | None, options: MetricOptions
) -> tuple[TopK, Sample]:
    """Compute card precision@k of the rows, and prepare it for resampling; rows are read once."""
    k, entity = check_k(options.k), options.entity
    unit = options.cluster_column(CARDS, cluster)
    by_day = unit == options.day

    def read(depth: int) -> tuple[Clusters, RowCounts, RankedEntities]:
        reduction = FirstEntities(entity, depth, "day" if by_day else "entity")
        counts = _read_entities(rows, options.day, entity, reduction)
        values = _days(counts) if by_day else _names(counts, entity)
        ranked = _rank_entities(counts, entity, None if by_day else np.unique(values))
        return Clusters(unit, values, by_day), RowCounts.from_frame(counts), ranked

    depth = k if by_day else _first_depth(k)
    clusters, of_score, ranked = read(depth)
    statistic: Statistic
    if by_day:
        hits, _ = ranked.count_hits(np.ones((ranked.n_entities, 1), np.int64), k)
        statistic = sum_of_days(hits[:, 0], k)
    else:
        statistic = TopEntities(ranked, k, lambda deeper: read(deeper)[2], depth)
    sample = sample_top(CARDS, clusters, of_score, statistic)
    return ranked.precision_at_k(k), sample


def _is_lazy(rows: Rows) -> TypeIs[FrameRows]:
    """Whether an engine reduces the counts of the rows before they travel."""
    return isinstance(rows, FrameRows) and rows.is_lazy


def _first_depth(k: int) -> int:
    """Return how many ranks of a day nearly all resamples need; few of them need more."""
    return 2 * k + 100


def _read_entities(
    rows: Rows, day: str, entity: str, reduction: FirstEntities
) -> nw.DataFrame[Any]:
    if _is_lazy(rows):
        return rows.by_entity(day, entity, reduction)
    return rows.by_entity(day, entity)


def _is_kept(counts: nw.DataFrame[Any]) -> NDArray[np.bool_]:
    """Return which counts are no sum of what an engine has left out."""
    if KEPT not in counts.columns:
        return np.ones(len(counts), np.bool_)
    return to_numpy_float(counts[KEPT]) > 0


def _only_kept(counts: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
    return counts.filter(nw.col(KEPT) > 0) if KEPT in counts.columns else counts


def _omitted(counts: nw.DataFrame[Any]) -> NDArray[np.int64]:
    """Return how many others of its day an engine has left out, for each count."""
    if OMITTED not in counts.columns:
        return np.zeros(len(counts), np.int64)
    return to_numpy_float(counts[OMITTED]).astype(np.int64)


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
    amount = bool(OF_VALUE.intersection(metrics))
    score = None
    if _is_lazy(rows) and not OF_CURVE.intersection(metrics):
        bins = ScoreBins.at_threshold(threshold)
        reduction = BinnedScores(bins, losses=bool(OF_SCORES.intersection(metrics)))
        counts = rows.by_cluster(cluster, by=by, amount=amount, reduction=reduction)
        score = bins.lowest[to_numpy_float(counts[BIN]).astype(np.intp)]
    else:
        counts = rows.by_cluster(cluster, by=by, amount=amount)
    keys, group = number_groups(counts, by)
    compared = np.isin(group, [number for number, key in enumerate(keys) if key in set(groups)])
    of_score = RowCounts.from_frame(counts, score, weighted=weighted).take(compared)
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


def _rank_entities(
    counts: nw.DataFrame[Any], entity: str, names: NDArray[Any] | None = None
) -> RankedEntities:
    """Rank entities by their highest score of a day; ``names`` are all of them, in order."""
    counts = _only_kept(counts)
    days, values, of_score = _days(counts), _names(counts, entity), RowCounts.from_frame(counts)
    _, code = np.unique(values, return_inverse=True)
    order = np.lexsort((-of_score.score, code, days))
    days, values, code = days[order], values[order], code[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (code[1:] != code[:-1]) | (days[1:] != days[:-1])
    starts = np.flatnonzero(first)
    frauds = of_score.frauds
    if len(starts):
        frauds = np.add.reduceat(frauds[order], starts)
    return RankedEntities.from_arrays(
        days[first],
        values[first],
        of_score.score[order][first],
        frauds > 0,
        names=names,
        omitted=_omitted(counts)[order][first],
    )
