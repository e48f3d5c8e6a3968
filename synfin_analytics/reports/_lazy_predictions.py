"""Predictions of a model report in a lazy frame, counted by its engine, as a source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dates import Period
from synfin_analytics._core.lazy_frames import transform_rows
from synfin_analytics._core.release import release_memory
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._aggregate import group_key
from synfin_analytics.metrics._evaluate import evaluate_groups
from synfin_analytics.metrics._weights import parse_weight
from synfin_analytics.reports._frame import FramePredictions
from synfin_analytics.reports._lazy_quantiles import GROUP, VALUE, read_quantiles
from synfin_analytics.reports._lazy_survey import amount_or_zero, as_count, is_unsuccessful
from synfin_analytics.reports._lazy_transactions import nowcast_lazy_rows, read_label_delays
from synfin_analytics.reports._reading import describe_score_range, remark_scores
from synfin_analytics.reports._sources import QUANTILES, WEEK_COLUMNS, PredictionData

if TYPE_CHECKING:
    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.metrics.evaluation import Evaluation, Threshold
    from synfin_analytics.metrics.grouped import GroupedEvaluation
    from synfin_analytics.metrics.nowcast import FraudRateNowcast
    from synfin_analytics.reports._groups import Grouping
    from synfin_analytics.reports._lazy_rows import LazyRows
    from synfin_analytics.reports._rows import Roles

_WEEK = Period.parse("1w")
_KEY = "__key"


class NeedsMemory(Exception):  # noqa: N818 - the caller reads the rows, no user sees it
    """A report on these rows needs them in memory."""


def check_lazy_scores(rows: LazyRows) -> LazyRows:
    """Return the rows that have a score, or no label; scores are from 0 to 1.

    Raises
    ------
    ArgumentError
        No row has a score, or scores are not from 0 to 1.
    """
    roles = rows.roles
    score = roles.score or ""
    counts = rows.aggregate([], _CheckScores(roles), minima=["low"], maxima=["high"])
    n_missing, n_scored = int(counts["missing"].sum()), int(counts["scored"].sum())
    low, high = (float(counts[name][0]) if n_scored else None for name in ("low", "high"))
    remarks = remark_scores(score, low, high, n_missing, int(rows.total("labelled")))
    if n_missing:
        rows = rows.count_again(transform_rows(rows.frame, _KeepScored(roles)))
    return replace(rows, remarks=(*remarks, *rows.remarks))


class LazyPredictions(FramePredictions):
    """Predictions of a model in the rows of a lazy frame, with the numbers of its base class.

    Only the bootstraps of areas differ, because scores are counted in bins: see
    ``Bootstrap.binning_error``.

    Parameters
    ----------
    rows, options
        As for the base class; the rows are those of :func:`check_lazy_scores`.

    Raises
    ------
    NeedsMemory
        Single transactions are resampled, for lack of customers; or rows cannot be evaluated, whose
        positions the error has that is raised in memory.
    """

    _rows: LazyRows  # type: ignore[assignment]

    def __init__(self, rows: LazyRows, *arguments: Any, **options: Any) -> None:
        try:
            super().__init__(rows, *arguments, **options)  # type: ignore[arg-type]
        except ArgumentError as error:
            raise NeedsMemory from error

    def _with_cluster(self) -> tuple[Any, str]:
        """Return the rows, and the column that the bootstrap resamples."""
        roles = self._rows.roles
        cluster = roles.cluster or roles.customer
        if cluster is None:
            raise NeedsMemory
        names = (cluster, roles.customer, roles.merchant, self.entity)
        self._parties = {name: self._count_parties(name) for name in {*names} if name}
        if self._parties[cluster]["unknown"]:
            raise NeedsMemory
        return self._rows.frame, cluster

    def _count_parties(self, name: str) -> dict[str, int]:
        """Count the values of a column; of times, their days."""
        counts = self._rows.aggregate(
            [_KEY], _SelectParties(self._rows.roles.label, name), then=_count_values
        )
        return {column: int(counts[column].sum()) for column in counts.columns}

    def _has_unknown_entities(self) -> bool:
        """Whether a labelled row has no entity."""
        return self._parties[self.entity]["unknown"] > 0

    def _describe(self) -> PredictionData:
        rows, roles = self._rows, self._rows.roles
        counts = rows.aggregate([_KEY], _SelectDays(roles))
        first, last = rows.extent
        clusters = self._parties[self.cluster]
        days = counts.filter(pl.col("labelled") > 0, pl.col(_KEY).is_not_null())
        return PredictionData(
            n_predictions=rows.n_rows,
            n_labelled=int(rows.total("labelled")),
            n_frauds=int(rows.total("frauds")),
            n_customers=self._parties[roles.customer]["values"] if roles.customer else None,
            n_merchants=self._parties[roles.merchant]["values"] if roles.merchant else None,
            n_days=0 if roles.timestamp is None else len(days),
            first=first,
            last=last,
            first_stored=None,
            last_stored=None,
            delays=read_label_delays(rows),
            n_stored_after_label=0,
            n_truth_outdated=0,
            lowest_alert=None,
            highest_pass=None,
            currencies=tuple(rows.currencies()),
            n_unsuccessful=int(counts["unsuccessful"].sum()),
            unsuccessful_amount=float(counts["unsuccessful_amount"].sum()),
            n_clusters=clusters["labelled"],
            n_fraud_clusters=clusters["frauds"],
        )

    def _select_compared(self) -> Any:
        """Return the rows that both models scored; or why there are none."""
        roles = self._rows.roles
        other, score = roles.compare_with or "", roles.score or ""
        both = _KeepBoth(score, other)
        counts = self._rows.aggregate([], _Range(both), minima=["low"], maxima=["high"])
        if not counts["rows"].sum():
            return f"No row has both {score!r} and {other!r}."
        low, high = (float(counts[name][0]) for name in ("low", "high"))
        return describe_score_range(low, high, other) or transform_rows(self._frame, both)

    def compare(self, threshold: Threshold) -> dict[str, Evaluation] | str | None:
        """Evaluate both scores on the rows that have both, at the same threshold."""
        compared = super().compare(threshold)
        if not isinstance(compared, dict):
            return compared
        (other, evaluation), (name, own) = compared.items()
        if own.counts.fingerprint == self._evaluation.counts.fingerprint:
            own = replace(own, counts=self._evaluation.counts)  # once in memory
        return {other: evaluation, name: own}

    def evaluate_groups(self, by: Grouping, threshold: Threshold) -> GroupedEvaluation:
        """Evaluate each group."""
        release_memory()
        roles, evaluation = self._rows.roles, self._evaluation
        columns = (roles.label, roles.score or "", None, parse_weight(self._weight))
        # The counts of all rows are known, and merging those of the groups would take memory.
        overall = replace(evaluation.counts, amount=None, fraud_amount=None)
        return evaluate_groups(
            self._frame, by, columns, None,
            (threshold, evaluation.interval_method, evaluation.confidence_level), overall,
        )  # fmt: skip

    def read_weeks(self, threshold: float) -> pd.DataFrame:
        """Return scores and frauds of each week."""
        rows = self._rows
        limit = self._evaluation.counts.cast_threshold(threshold)
        weeks = rows.aggregate([GROUP], _CountWeeks(rows.roles, limit)).sort(GROUP)
        numbers = weeks[GROUP].cast(pl.Float64).to_numpy()
        select = _SelectScores(rows.roles)
        quantiles = read_quantiles(rows.aggregate, select, [*QUANTILES.values()])
        frame = pd.DataFrame(
            {"timestamp": pd.DatetimeIndex(_WEEK.starts(numbers)).tz_localize("UTC")}
        )
        for name in ("transactions", "labelled", "frauds", "scored", "alerts"):
            frame[name] = weeks[name].cast(pl.Int64).to_numpy()
        frame["mean_score"] = ratio(weeks["score"].to_numpy(), frame["scored"].to_numpy())
        for position, name in enumerate(QUANTILES):
            frame[name] = [
                quantiles[week][position].interpolate() if week in quantiles else np.nan
                for week in numbers
            ]
        rates = rows.fraud_rate(every="1w", with_amount=False, **self._options)
        for name in ("fraud_rate", "fraud_rate_low", "fraud_rate_high", "reliable"):
            frame[name] = rates[name].to_numpy()
        frame["alert_rate"] = ratio(frame["alerts"], frame["scored"])
        return frame[list(WEEK_COLUMNS)]

    def nowcast_fraud_rate(self) -> FraudRateNowcast:
        """Nowcast the fraud rate of each week."""
        return nowcast_lazy_rows(self._rows, **self._options)


# -- What each row adds ----------------------------------------------------------------------------
# Dask's workers unpickle these.


@dataclass(frozen=True)
class _CheckScores:
    """Counts rows with a score, and labelled rows without one."""

    roles: Roles

    def __call__(self, frame: Frame) -> Frame:
        score = nw.col(self.roles.score or "")
        labelled = ~nw.col(self.roles.label).is_null()
        return frame.select(
            as_count(~score.is_null()).alias("scored"),
            as_count(labelled & score.is_null()).alias("missing"),
            score.cast(nw.Float64).alias("low"),
            score.cast(nw.Float64).alias("high"),
        )


@dataclass(frozen=True)
class _KeepScored:
    """Keeps the rows that have a score, or no label."""

    roles: Roles

    def __call__(self, frame: Frame) -> Frame:
        no_label, score = nw.col(self.roles.label).is_null(), nw.col(self.roles.score or "")
        return frame.filter(no_label | ~score.is_null())


@dataclass(frozen=True)
class _KeepBoth:
    """Keeps the rows that have both scores."""

    score: str
    other: str

    def __call__(self, frame: Frame) -> Frame:
        return frame.filter(~nw.col(self.score).is_null() & ~nw.col(self.other).is_null())


@dataclass(frozen=True)
class _Range:
    """Selects the scores of the compared model."""

    both: _KeepBoth

    def __call__(self, frame: Frame) -> Frame:
        other = nw.col(self.both.other).cast(nw.Float64)
        return self.both(frame).select(
            nw.lit(1, nw.Int64).alias("rows"), other.alias("low"), other.alias("high")
        )


@dataclass(frozen=True)
class _SelectParties:
    """Selects the customer, merchant or cluster of each row; of a time, its day."""

    label: str
    name: str

    def __call__(self, frame: Frame) -> Frame:
        dtype, label = frame.collect_schema()[self.name], nw.col(self.label)
        key = group_key(dtype, self.name)
        if dtype == nw.Datetime:
            key = key.dt.truncate("1d")
        return frame.select(
            key.alias(_KEY),
            as_count(~label.is_null()).alias("labelled"),
            as_count(label == 1).alias("frauds"),
        )


def _count_values(counts: Frame) -> Frame:
    """Count values, those of labelled rows and of frauds, and labelled rows without one."""
    known, labelled, fraud = ~nw.col(_KEY).is_null(), nw.col("labelled") > 0, nw.col("frauds") > 0
    return counts.select(
        as_count(known).sum().alias("values"),
        as_count(known & labelled).sum().alias("labelled"),
        as_count(known & fraud).sum().alias("frauds"),
        as_count(~known & labelled).sum().alias("unknown"),
    )


@dataclass(frozen=True)
class _SelectDays:
    """Selects the day of each row, and the frauds that were declined or failed."""

    roles: Roles

    def __call__(self, frame: Frame) -> Frame:
        roles, label = self.roles, nw.col(self.roles.label)
        day = nw.lit(0, nw.Int64)
        if roles.timestamp is not None:
            day = nw.col(roles.timestamp).dt.truncate("1d")
        unsuccessful = as_count((label == 1) & is_unsuccessful(roles))
        return frame.select(
            day.alias(_KEY),
            as_count(~label.is_null()).alias("labelled"),
            unsuccessful.alias("unsuccessful"),
            (amount_or_zero(roles) * unsuccessful.cast(nw.Float64)).alias("unsuccessful_amount"),
        )


@dataclass(frozen=True)
class _SelectScores:
    """Selects the score of each row, by week."""

    roles: Roles

    def __call__(self, frame: Frame) -> Frame:
        return frame.select(
            _WEEK.number(nw.col(self.roles.timestamp or "")).alias(GROUP),
            nw.col(self.roles.score or "").cast(nw.Float64).alias(VALUE),
        )


@dataclass(frozen=True)
class _CountWeeks:
    """Selects what each row adds to the counts of its week."""

    roles: Roles
    limit: float

    def __call__(self, frame: Frame) -> Frame:
        label = nw.col(self.roles.label)
        score = nw.col(self.roles.score or "").cast(nw.Float64)
        return frame.select(
            _WEEK.number(nw.col(self.roles.timestamp or "")).alias(GROUP),
            nw.lit(1, nw.Int64).alias("transactions"),
            as_count(~label.is_null()).alias("labelled"),
            as_count(label == 1).alias("frauds"),
            as_count(~score.is_null()).alias("scored"),
            score.fill_null(0).alias("score"),
            as_count(score >= self.limit).alias("alerts"),
        )
