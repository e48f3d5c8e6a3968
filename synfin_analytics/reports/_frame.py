"""Predictions and transactions of a report in the rows of a frame, as its sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import join_words, pluralize
from synfin_analytics.metrics import evaluate, measure_drift
from synfin_analytics.metrics.evaluation import Threshold
from synfin_analytics.reports._groups import DEFAULT_COLUMNS, MAX_GROUPS, has
from synfin_analytics.reports._maturity import nowcast_rows
from synfin_analytics.reports._reading import describe_scores
from synfin_analytics.reports._sources import (
    QUANTILES,
    RETURNED,
    WEEK_COLUMNS,
    PredictionData,
    cluster_noun,
    omit_for_weights,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synfin_analytics.metrics._weights import Weight
    from synfin_analytics.metrics.drift import Drift
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.metrics.grouped import GroupedEvaluation
    from synfin_analytics.metrics.nowcast import FraudRateNowcast
    from synfin_analytics.reports._groups import Grouping
    from synfin_analytics.reports._lazy_rows import LazyRows
    from synfin_analytics.reports._rows import Rows
    from synfin_analytics.reports._sources import Span
    from synfin_analytics.repositories.transactions import TransactionStatistics

DEFAULT_THRESHOLD = 0.5
#: What the bootstrap resamples if no column of customers is known: each row.
ROW = "transaction"


# -- Models ----------------------------------------------------------------------------------------


class FramePredictions:
    """Predictions of a model in the rows of a frame.

    Parameters
    ----------
    rows
        The rows.
    name, version
        The model.
    confidence_level
        Of all intervals.
    missing
        Sections to leave out, and the reason.
    label_weights
        The weights of labels, if the rows have no column of weights.
    importances
        Importances of the features, if the model has any.
    remarks
        Sentences on how the scores were obtained.
    """

    def __init__(
        self,
        rows: Rows,
        name: str,
        version: str,
        *,
        confidence_level: float,
        missing: Mapping[str, str],
        label_weights: Weight | None = None,
        importances: pd.DataFrame | None = None,
        remarks: Sequence[str] = (),
    ) -> None:
        self.name, self.version = name, version
        self._rows, roles, self.knowledge = rows, rows.roles, rows.knowledge
        self._weight: Weight | None = roles.weight or label_weights
        self.day = roles.timestamp or "timestamp"
        self.entity = roles.entity or roles.customer or ""
        self._importances = importances
        self._options: Any = {"confidence_level": confidence_level}
        self._notes: list[str] = [*remarks, *rows.remarks]
        self._frame, self.cluster = self._with_cluster()
        self._evaluation: Evaluation = evaluate(
            self._frame,
            roles.label,
            roles.score or "",
            amount=roles.amount,
            weight=self._weight,
            **self._options,
        )
        self.data = self._describe()
        self.missing = {**self._find_missing(), **missing}

    @property
    def remarks(self) -> list[str]:
        """What was noticed, as sentences."""
        return self._notes

    def _with_cluster(self) -> tuple[pl.DataFrame, str]:
        """Return the rows, and the column that the bootstrap resamples."""
        frame, roles = self._rows.frame, self._rows.roles
        cluster = roles.cluster or roles.customer
        if cluster is None:
            self._notes.append(
                "No column of customers was given (customer), so the bootstrap resamples single "
                "transactions. If a customer has several, its intervals are too narrow."
            )
            name = ROW
            while name in frame.columns:
                name += "_"
            return frame.with_row_index(name), name
        unknown = frame[cluster].is_null() & frame[roles.label].is_not_null()
        if unknown.any():
            n_unknown = int(unknown.sum())
            self._notes.append(
                f"{pluralize(n_unknown, 'labelled row')} {has(n_unknown)} no {cluster!r}; the "
                "bootstrap resamples each of them alone."
            )
            frame = self._rows.decode(frame, cluster)  # beside the texts of rows without any
            alone = pl.format("(row {})", pl.int_range(pl.len()))
            frame = frame.with_columns(pl.coalesce(pl.col(cluster).cast(pl.String), alone))
        return frame, cluster

    @property
    def cluster_noun(self) -> str:
        """What is resampled, in the singular."""
        roles = self._rows.roles
        if self.cluster not in roles.given.values():
            return ROW
        nouns = {roles.timestamp: "day", roles.merchant: "merchant", roles.customer: "customer"}
        return nouns.get(self.cluster, cluster_noun(self.cluster))

    def _has_unknown_entities(self) -> bool:
        """Whether a labelled row has no entity."""
        labelled = self._frame.filter(pl.col(self._rows.roles.label).is_not_null())
        return labelled[self.entity].null_count() > 0

    def _find_missing(self) -> dict[str, str]:
        """Return the sections that the rows have no column for."""
        roles = self._rows.roles
        missing: dict[str, str] = {}
        if no_time := self._rows.find_missing_times():
            missing |= {"stability": no_time, "cards": no_time, "budget": no_time}
        if not self.entity:
            missing["cards"] = "No column of customers or cards was given (customer, entity)."
        elif self._has_unknown_entities():
            missing["cards"] = f"Labelled rows have no {self.entity!r}."
        if self._weight is not None:
            omitted, remark = omit_for_weights(self._weight)
            missing |= omitted
            self._notes.append(remark)
        if roles.amount is None:
            missing["cost"] = "No column of amounts was given (amount)."
        if self._rows.by is None and not self._rows.choose_groupings():
            missing["groups"] = (
                "No column to compare groups of was given (by), and none of "
                f"{join_words(list(DEFAULT_COLUMNS))} has 2 to {MAX_GROUPS} values."
            )
        if self._importances is None:
            missing["importances"] = (
                "A frame has no feature importances; model_report.from_estimator takes those of "
                "the model."
            )
        return missing

    def _describe(self) -> PredictionData:
        rows, roles, frame = self._rows, self._rows.roles, self._frame
        labelled = frame.filter(pl.col(roles.label).is_not_null())
        frauds = labelled.filter(roles.label)
        times = None if roles.timestamp is None else frame[roles.timestamp].drop_nulls()
        unsuccessful = rows.with_losses().filter(roles.label, ~pl.col("__successful"))
        cluster = self._cluster_values(labelled)
        return PredictionData(
            n_predictions=len(frame),
            n_labelled=len(labelled),
            n_frauds=len(frauds),
            n_customers=_count(frame, roles.customer),
            n_merchants=_count(frame, roles.merchant),
            n_days=0
            if roles.timestamp is None
            else labelled[roles.timestamp].drop_nulls().dt.date().n_unique(),
            first=None if times is None else times.min(),  # type: ignore[arg-type]
            last=None if times is None else times.max(),  # type: ignore[arg-type]
            first_stored=None,
            last_stored=None,
            delays=rows.label_delays(),
            n_stored_after_label=0,
            n_truth_outdated=0,
            lowest_alert=None,
            highest_pass=None,
            currencies=tuple(rows.currencies(labelled)),
            n_unsuccessful=len(unsuccessful),
            unsuccessful_amount=float(unsuccessful["__amount"].sum()),
            n_clusters=cluster.n_unique(),
            n_fraud_clusters=self._cluster_values(frauds).n_unique(),
        )

    def _cluster_values(self, frame: pl.DataFrame) -> pl.Series:
        """Return the values that are resampled; of times, their days."""
        values = frame[self.cluster].drop_nulls()
        return values.dt.date() if values.dtype.is_temporal() else values

    def infer_threshold(self) -> tuple[Threshold, str]:
        """Return the default threshold."""
        return Threshold(DEFAULT_THRESHOLD), "default"

    def evaluate(self) -> Evaluation:
        """Evaluate the labelled rows."""
        return self._evaluation

    def compare(self, threshold: Threshold) -> dict[str, Evaluation] | str | None:
        """Evaluate both scores on the rows that have both, at the same threshold."""
        roles = self._rows.roles
        other, score = roles.compare_with, roles.score or ""
        if other is None:
            return None
        frame = self._select_compared()
        if isinstance(frame, str):
            return frame
        name = " ".join(filter(None, (self.name, self.version)))
        return {
            column: evaluate(
                frame,
                roles.label,
                source,
                threshold=threshold,
                amount=roles.amount,
                weight=self._weight,
                **self._options,
            )
            for column, source in ((other, other), (name, score))
        }

    def _select_compared(self) -> Any:
        """Return the rows that both models scored; or why there are none."""
        roles = self._rows.roles
        other, score = roles.compare_with or "", roles.score or ""
        frame = self._frame.filter(pl.col(other).is_not_null() & pl.col(score).is_not_null())
        if not len(frame):
            return f"No row has both {score!r} and {other!r}."
        return describe_scores(frame[other], other) or frame

    def choose_groupings(self) -> list[Grouping]:
        """Return the columns to compare groups of."""
        return self._rows.choose_groupings()

    def evaluate_groups(self, by: Grouping, threshold: Threshold) -> GroupedEvaluation:
        """Evaluate each group."""
        roles = self._rows.roles
        names = [by] if isinstance(by, str) else list(by)
        return evaluate(
            self._frame, roles.label, roles.score or "", threshold=threshold, by=names,
            weight=self._weight, **self._options,
        )  # fmt: skip

    def measure_drift(self, reference: Span, current: Span) -> Drift:
        """Measure the drift of the scores between two periods."""
        roles = self._rows.roles
        return measure_drift(
            self._frame,
            roles.score or "",
            reference=reference,
            current=current,
            timestamp=roles.timestamp or "",
            **self._options,
        )

    def read_weeks(self, threshold: float) -> pd.DataFrame:
        """Return scores and frauds of each week."""
        roles = self._rows.roles
        score, label = pl.col(roles.score or ""), pl.col(roles.label)
        week = pl.col(roles.timestamp or "").dt.truncate("1w").alias("timestamp")
        limit = self._evaluation.counts.cast_threshold(threshold)
        weeks = (
            self._frame.group_by(week)
            .agg(
                pl.len().cast(pl.Int64).alias("transactions"),
                label.count().cast(pl.Int64).alias("labelled"),
                label.cast(pl.Int64).sum().alias("frauds"),
                score.count().cast(pl.Int64).alias("scored"),
                score.cast(pl.Float64).mean().alias("mean_score"),
                *(
                    score.cast(pl.Float64).quantile(share, "linear").alias(name)
                    for name, share in QUANTILES.items()
                ),
                (score.cast(pl.Float64) >= limit).sum().cast(pl.Int64).alias("alerts"),
            )
            .sort("timestamp")
            .to_pandas()
        )
        rates = self._rows.fraud_rate(every="1w", with_amount=False, **self._options)
        for name in ("fraud_rate", "fraud_rate_low", "fraud_rate_high", "reliable"):
            weeks[name] = rates[name].to_numpy()
        weeks["alert_rate"] = ratio(weeks["alerts"], weeks["scored"])
        return weeks[list(WEEK_COLUMNS)]

    def nowcast_fraud_rate(self) -> FraudRateNowcast:
        """Nowcast the fraud rate of each week."""
        return nowcast_rows(self._rows, **self._options)

    def read_importances(self) -> pd.DataFrame:
        """Return the importances of the model."""
        if self._importances is None:
            return pd.DataFrame(columns=["feature", "mean", "size", "predictions"])
        return self._importances


def _count(frame: pl.DataFrame, name: str | None) -> int | None:
    return None if name is None else frame[name].drop_nulls().n_unique()


# -- Transactions ----------------------------------------------------------------------------------


#: Columns of the sums of amounts by currency; see ``FraudReport.amounts``.
AMOUNT_SUMS = ("transactions", "amount", "labelled_amount", "fraud_amount", "lost_amount",
               "unsuccessful", "returned")  # fmt: skip


def no_amounts() -> pd.DataFrame:
    """Return sums of amounts by currency, without a row."""
    return pd.DataFrame(columns=["currency", *AMOUNT_SUMS]).astype(
        dict.fromkeys(AMOUNT_SUMS, "float64")
    )


def omit_transactions(rows: Rows | LazyRows) -> tuple[dict[str, str], list[str]]:
    """Return the sections that rows have no column for and the reason; and remarks."""
    roles = rows.roles
    missing: dict[str, str] = {}
    if no_time := rows.find_missing_times():
        missing |= {"time": no_time, "labels": no_time}
    if roles.merchant is None:
        missing["merchants"] = "No column of merchants was given (merchant)."
    if roles.fraud_type is None:
        missing["types"] = "No column of fraud types was given (fraud_type)."
    if roles.amount is None:
        missing["amounts"] = "No column of amounts was given (amount)."
    if rows.clusters:
        return missing, []
    return missing, [
        "No column of customers or merchants was given (customer, merchant), so intervals treat "
        "all transactions as independent. If a customer has several, they are too narrow."
    ]


class FrameTransactions:
    """Transactions in the rows of a frame.

    Parameters
    ----------
    rows
        The rows.
    confidence_level
        Of all intervals.
    """

    def __init__(self, rows: Rows, confidence_level: float) -> None:
        self._rows, self._confidence_level = rows, confidence_level
        self.knowledge = rows.knowledge
        self.missing, remarks = omit_transactions(rows)
        self.remarks = [*rows.remarks, *remarks]

    def fraud_rate(self, by: Any = None, **options: Any) -> pd.DataFrame:
        """Return the fraud rate by columns, periods or bins."""
        columns = list(by) if isinstance(by, tuple) else by
        return self._rows.fraud_rate(columns, confidence_level=self._confidence_level, **options)

    def read_extent(self) -> dict[str, Any]:
        """Return the times of the first and the last transaction, and the delays of labels."""
        name = self._rows.roles.timestamp
        times = None if name is None else self._rows.frame[name]
        return {
            "first": None if times is None else times.min(),
            "last": None if times is None else times.max(),
            "delays": self._rows.label_delays(),
        }

    def read_statistics(self) -> TransactionStatistics:
        """Return counts and amounts; amounts are NaN if there are none, and anomalies unknown."""
        roles, frame = self._rows.roles, self._rows.frame
        labels = frame[roles.label]
        n_labelled, n_frauds = labels.count(), int(labels.sum() or 0)
        nothing = pl.Series([], dtype=pl.Float64)
        amounts = nothing if roles.amount is None else frame[roles.amount].cast(pl.Float64)
        mean, low, high = (
            float("nan") if value is None else float(value)  # type: ignore[arg-type]
            for value in (amounts.mean(), amounts.min(), amounts.max())
        )
        return {
            "total_count": len(frame),
            "total_amount": float("nan") if roles.amount is None else float(amounts.sum()),
            "avg_amount": mean,
            "min_amount": low,
            "max_amount": high,
            "labelled_count": n_labelled,
            "fraud_count": n_frauds,
            "anomaly_count": 0,
            "fraud_rate": float(ratio(n_frauds, n_labelled)),
        }

    def read_amounts(self) -> pd.DataFrame:
        """Return sums of amounts by currency; no row if there are no amounts."""
        roles = self._rows.roles
        if roles.amount is None:
            return no_amounts()
        label, amount = pl.col(roles.label), pl.col("__amount")
        fraud, successful = label.fill_null(value=False), pl.col("__successful")
        return (
            self._rows.with_losses()
            .group_by(pl.col("__currency_name").alias("currency"))
            .agg(
                pl.len().cast(pl.Int64).alias("transactions"),
                amount.sum().alias("amount"),
                amount.filter(label.is_not_null()).sum().alias("labelled_amount"),
                amount.filter(fraud).sum().alias("fraud_amount"),
                amount.filter(fraud & successful).sum().alias("lost_amount"),
                (fraud & ~successful).sum().cast(pl.Int64).alias("unsuccessful"),
                (fraud & pl.col("__status").is_in(RETURNED)).sum().cast(pl.Int64).alias("returned"),
            )
            .sort("transactions", "currency", descending=[True, False])
            .to_pandas()
        )

    def choose_groupings(self) -> list[Grouping]:
        """Return the columns to compare groups of."""
        return self._rows.choose_groupings()

    def read_losses(self, column: str) -> pd.DataFrame:
        """Return frauds and their losses by a column."""
        roles = self._rows.roles
        name = roles.fraud_type if column == "fraud_type" else roles.merchant
        amount = pl.col("__amount")
        losses = (
            self._rows.with_losses()
            .filter(roles.label)
            .group_by(pl.col(name or "").alias(column))
            .agg(
                pl.len().cast(pl.Int64).alias("frauds"),
                amount.sum().alias("fraud_amount"),
                amount.filter("__successful").sum().alias("lost_amount"),
            )
            .sort("frauds", column, descending=[True, False])
        )
        return self._rows.decode(losses, name or "", column).to_pandas()

    def rate_merchants(self) -> pd.DataFrame:
        """Return the fraud rate by merchant."""
        merchant = self._rows.roles.merchant or ""
        return self.fraud_rate(merchant).rename(columns={merchant: "merchant_id"})

    def read_label_maturity(self) -> pd.DataFrame:
        """Return how many transactions of each week are labelled."""
        roles = self._rows.roles
        label, moment = pl.col(roles.label), pl.col(roles.timestamp or "")
        delay = pl.lit(None, dtype=pl.Duration("us"))
        if roles.label_available_at is not None:
            delay = pl.col(roles.label_available_at) - moment
        known = pl.col("__delay").filter(label.is_not_null()).drop_nulls()
        weeks = (
            self._rows.frame.with_columns(delay.alias("__delay"))
            .group_by(moment.dt.truncate("1w").alias("timestamp"))
            .agg(
                pl.len().cast(pl.Int64).alias("transactions"),
                label.count().cast(pl.Int64).alias("labelled"),
                known.len().cast(pl.Int64).alias("recorded"),
                known.median().alias("median_delay"),
            )
            .sort("timestamp")
            .to_pandas()
        )
        weeks.insert(3, "labelled_share", ratio(weeks["labelled"], weeks["transactions"]))
        return weeks

    def nowcast_fraud_rate(self) -> FraudRateNowcast:
        """Nowcast the fraud rate of each week."""
        return nowcast_rows(self._rows, self._confidence_level)
