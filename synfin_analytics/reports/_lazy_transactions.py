"""Transactions of a fraud report in a lazy frame, counted by its engine, as a source."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.dates import Period
from synfin_analytics._core.lazy_frames import transform_rows
from synfin_analytics.metrics._aggregate import group_key
from synfin_analytics.reports._frame import AMOUNT_SUMS, no_amounts, omit_transactions
from synfin_analytics.reports._lazy_quantiles import GROUP, VALUE, read_quantiles
from synfin_analytics.reports._lazy_survey import (
    CURRENCY,
    amount_or_zero,
    as_count,
    is_unsuccessful,
)
from synfin_analytics.reports._lazy_types import microseconds_between
from synfin_analytics.reports._maturity import nowcast_frame
from synfin_analytics.reports._sources import LabelDelays

if TYPE_CHECKING:
    import pandas as pd

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.metrics.nowcast import FraudRateNowcast
    from synfin_analytics.reports._groups import Grouping
    from synfin_analytics.reports._lazy_quantiles import Quantile
    from synfin_analytics.reports._lazy_rows import LazyRows
    from synfin_analytics.reports._rows import Roles
    from synfin_analytics.repositories.transactions import TransactionStatistics

_KEY = "__key"


class LazyTransactions:
    """Transactions in the rows of a lazy frame, with the numbers of ``FrameTransactions``.

    Parameters
    ----------
    rows
        The rows.
    confidence_level
        Of all intervals.
    """

    def __init__(self, rows: LazyRows, confidence_level: float) -> None:
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
        first, last = self._rows.extent
        return {"first": first, "last": last, "delays": read_label_delays(self._rows)}

    def read_statistics(self) -> TransactionStatistics:
        """Return counts and amounts; amounts are NaN if there are none, and anomalies unknown."""
        rows = self._rows
        n_labelled, n_frauds = int(rows.total("labelled")), int(rows.total("frauds"))
        n_amounts, amount = 0, float("nan")
        if rows.roles.amount is not None:
            n_amounts = rows.n_rows - int(rows.total("missing_amounts"))
            amount = float(rows.total("amount"))
        low, high = (
            float(rows.total(f"{end}_amount")) if n_amounts else float("nan")
            for end in ("lowest", "highest")
        )
        return {
            "total_count": rows.n_rows,
            "total_amount": amount,
            "avg_amount": amount / n_amounts if n_amounts else float("nan"),
            "min_amount": low,
            "max_amount": high,
            "labelled_count": n_labelled,
            "fraud_count": n_frauds,
            "anomaly_count": 0,
            "fraud_rate": float(ratio(n_frauds, n_labelled)),
        }

    def read_amounts(self) -> pd.DataFrame:
        """Return sums of amounts by currency; no row if there are no amounts."""
        rows = self._rows
        if rows.roles.amount is None:
            return no_amounts()
        currency = pl.col(CURRENCY)
        if rows.roles.currency is None:
            currency = pl.lit(rows.currency, dtype=pl.String)
        return (
            rows.counts.select(currency.alias("currency"), *AMOUNT_SUMS)
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
        losses = self._rows.aggregate([_KEY], _SelectLosses(roles, name or ""))
        return (
            losses.rename({_KEY: column})
            .sort("frauds", column, descending=[True, False])
            .to_pandas()
        )

    def rate_merchants(self) -> pd.DataFrame:
        """Return the fraud rate by merchant."""
        merchant = self._rows.roles.merchant or ""
        return self.fraud_rate(merchant).rename(columns={merchant: "merchant_id"})

    def read_label_maturity(self) -> pd.DataFrame:
        """Return how many transactions of each week are labelled."""
        rows, period = self._rows, Period.parse("1w")
        counts = rows.aggregate([GROUP], _SelectWeeks(rows.roles, period)).sort(GROUP)
        medians: dict[float, list[Quantile]] = {}
        if n_recorded := int(rows.total("recorded")):
            select = _SelectDelays(rows.roles, period)
            medians = read_quantiles(rows.aggregate, select, [0.5], n_values=n_recorded)
        delays = [
            _median_delay(medians[week][0]) if week in medians else None
            for week in counts[GROUP].cast(pl.Float64)
        ]
        weeks = counts.select(
            pl.Series(period.starts(counts[GROUP].cast(pl.Float64).to_numpy()))
            .dt.replace_time_zone("UTC")
            .alias("timestamp"),
            "transactions",
            "labelled",
            "recorded",
            pl.Series("median_delay", delays, pl.Duration("us")),
        ).to_pandas()
        weeks.insert(3, "labelled_share", ratio(weeks["labelled"], weeks["transactions"]))
        return weeks

    def nowcast_fraud_rate(self) -> FraudRateNowcast:
        """Nowcast the fraud rate of each week."""
        return nowcast_lazy_rows(self._rows, confidence_level=self._confidence_level)


def _median_delay(median: Quantile) -> dt.timedelta:
    """Return the mean of the two middle delays, in whole microseconds as polars rounds it."""
    middle = (median.below, median.above) if median.fraction else (median.below,)
    delays = pl.Series([int(value) for value in middle], dtype=pl.Int64)
    delay: dt.timedelta = delays.cast(pl.Duration("us")).median()  # type: ignore[assignment]
    return delay


def read_label_delays(rows: LazyRows) -> LabelDelays:
    """Return the delays of the labels of rows."""
    n_recorded = int(rows.total("recorded"))
    if not n_recorded:
        return LabelDelays(0, None, None, None)
    select = _SelectDelays(rows.roles, None)
    quantiles = read_quantiles(rows.aggregate, select, [0.5, 0.9, 1], n_values=n_recorded)
    median, p90, longest = (
        dt.timedelta(microseconds=quantile.interpolate()) for quantile in quantiles[0]
    )
    return LabelDelays(n_recorded, median, p90, longest)


def nowcast_lazy_rows(rows: LazyRows, **options: Any) -> FraudRateNowcast:
    """Nowcast the weeks of the rows of a lazy frame."""
    frame = rows.frame
    if not rows.total("with_time_of_day"):  # dates: each is the whole day
        frame = transform_rows(frame, _CastToDate(rows.roles.label_available_at or ""))
    return nowcast_frame(frame, rows, **options)


# -- What each row adds ----------------------------------------------------------------------------
# Dask's workers unpickle these.


@dataclass(frozen=True)
class _SelectLosses:
    """Selects the frauds by a column, and their losses."""

    roles: Roles
    name: str

    def __call__(self, frame: Frame) -> Frame:
        roles, schema = self.roles, frame.collect_schema()
        amount = amount_or_zero(roles)
        successful = (~is_unsuccessful(roles)).cast(nw.Float64)
        return frame.filter(nw.col(roles.label) == 1).select(
            group_key(schema[self.name], self.name).alias(_KEY),
            nw.lit(1, nw.Int64).alias("frauds"),
            amount.alias("fraud_amount"),
            (amount * successful).alias("lost_amount"),
        )


@dataclass(frozen=True)
class _SelectDelays:
    """Selects the delay of each label, by week; without a period, all are one group."""

    roles: Roles
    period: Period | None

    def __call__(self, frame: Frame) -> Frame:
        timestamp, available = self.roles.timestamp or "", self.roles.label_available_at or ""
        delay = microseconds_between(frame, timestamp, available)
        labelled = ~nw.col(self.roles.label).is_null()
        group = nw.lit(0.0) if self.period is None else self.period.number(nw.col(timestamp))
        return frame.select(group.alias(GROUP), nw.when(labelled).then(delay).alias(VALUE))


@dataclass(frozen=True)
class _SelectWeeks:
    """Selects what each row adds to the counts of its week."""

    roles: Roles
    period: Period

    def __call__(self, frame: Frame) -> Frame:
        roles = self.roles
        moment, labelled = nw.col(roles.timestamp or ""), ~nw.col(roles.label).is_null()
        recorded: nw.Expr = nw.lit(False)
        if roles.label_available_at is not None:
            recorded = labelled & ~nw.col(roles.label_available_at).is_null()
        return frame.select(
            self.period.number(moment).alias(GROUP),
            nw.lit(1, nw.Int64).alias("transactions"),
            as_count(labelled).alias("labelled"),
            as_count(recorded).alias("recorded"),
        )


@dataclass(frozen=True)
class _CastToDate:
    """Casts a column of midnights to dates."""

    name: str

    def __call__(self, frame: Frame) -> Frame:
        return frame.with_columns(nw.col(self.name).dt.date())
