"""What a report is computed from: stored rows or a frame, behind one interface."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import pandas as pd

from synfin_analytics._core.formatting import format_duration, pluralize
from synfin_analytics.metrics._weights import parse_weight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synfin_analytics.metrics._weights import Weight
    from synfin_analytics.metrics.drift import Drift
    from synfin_analytics.metrics.evaluation import Evaluation, Threshold
    from synfin_analytics.metrics.grouped import GroupedEvaluation
    from synfin_analytics.metrics.nowcast import FraudRateNowcast
    from synfin_analytics.reports._groups import Grouping
    from synfin_analytics.repositories.transactions import TransactionStatistics

#: Start and end of a period; the end is excluded.
Span: TypeAlias = "tuple[dt.datetime, dt.datetime]"
#: What one value of a column is, where its name does not say so.
_CLUSTER_NOUNS = {"customer_id": "customer", "card_id": "card", "merchant_id": "merchant",
                  "timestamp": "day"}  # fmt: skip
#: Quantiles of the scores of a week.
QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99}
#: Statuses of transactions that were not carried out: a fraud among them is not a loss.
UNSUCCESSFUL = ("declined", "failed")
#: Statuses of transactions whose money came back, or may have.
RETURNED = ("reversed", "refunded")
#: Columns of the scores and frauds of each week; see ``ModelReport.weeks``.
WEEK_COLUMNS = (
    "timestamp", "transactions", "labelled", "frauds", "fraud_rate", "fraud_rate_low",
    "fraud_rate_high", "reliable", "scored", "mean_score", *QUANTILES, "alerts", "alert_rate",
)  # fmt: skip


@dataclass(frozen=True)
class LabelDelays:
    """The delays of labels.

    Attributes
    ----------
    n_recorded
        Labels whose time of arrival is recorded; the others are assumed to be available at once.
    median, p90, longest
        Quantiles and maximum of the delay; None where no time is recorded.
    """

    n_recorded: int
    median: dt.timedelta | None
    p90: dt.timedelta | None
    longest: dt.timedelta | None

    def describe(self, n_labelled: int) -> str:
        """Return a sentence about the delays of so many labels."""
        if not n_labelled:
            return "No label has arrived yet."
        if self.median is None or self.p90 is None or self.longest is None:
            return (
                "The time at which labels arrived is not recorded (label_available_at); "
                "labels are assumed to be available immediately."
            )
        text = (
            f"The arrival of {pluralize(self.n_recorded, 'label')} is recorded: half of them "
            f"arrived within {format_duration(self.median)} of the transaction, 90% within "
            f"{format_duration(self.p90)}, and all within {format_duration(self.longest)}"
        )
        n_other = n_labelled - self.n_recorded
        if n_other:
            text += f"; the other {n_other:,} are assumed to be available immediately"
        return f"{text}."


@dataclass(frozen=True)
class Knowledge:
    """What was not known yet at the time of which a report has the state.

    Attributes
    ----------
    as_of
        The time, in UTC.
    n_labels, n_frauds
        Labels of the transactions before it that became known later, and frauds among them.
    """

    as_of: dt.datetime
    n_labels: int
    n_frauds: int

    def describe(self) -> str:
        """Return a sentence for the head of a report."""
        start = f"As known on {format_as_of(self.as_of)}"
        if not self.n_labels:
            return f"{start}: every label that the data hold was known by then."
        return (
            f"{start}: {pluralize(self.n_labels, 'label')} ({pluralize(self.n_frauds, 'fraud')}) "
            f"became known later and {'counts' if self.n_labels == 1 else 'count'} as missing."
        )


def format_as_of(as_of: dt.datetime) -> str:
    """Format the time of which a report has the state; a midnight as a date."""
    is_midnight = as_of.time() == dt.time()
    return f"{as_of:%Y-%m-%d}" if is_midnight else f"{as_of:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True)
class PredictionData:
    """What a model report is computed from; None where the data do not say.

    Attributes
    ----------
    n_predictions, n_labelled, n_frauds
        Number of predictions, of those with a label, and of those labelled as fraud.
    n_customers, n_merchants, n_days
        Distinct customers and merchants, and days (UTC) with a labelled transaction.
    first, last
        Times of the first and the last transaction.
    first_stored, last_stored
        When the first and the last prediction was stored.
    delays
        The delays of labels.
    n_stored_after_label
        Labelled predictions that were stored after their label had arrived.
    n_truth_outdated
        Predictions whose ground truth differs from the label that the transaction has now.
    lowest_alert, highest_pass
        Lowest score that was predicted to be fraud, and highest that was not.
    currencies
        Currencies of the labelled transactions; None is an unknown one.
    n_unsuccessful, unsuccessful_amount
        Frauds that were declined or failed, and their value.
    n_clusters, n_fraud_clusters
        Distinct values of the column that the bootstrap resamples, among labelled transactions and
        among frauds.
    """

    n_predictions: int
    n_labelled: int
    n_frauds: int
    n_customers: int | None
    n_merchants: int | None
    n_days: int
    first: dt.datetime | None
    last: dt.datetime | None
    first_stored: dt.datetime | None
    last_stored: dt.datetime | None
    delays: LabelDelays
    n_stored_after_label: int
    n_truth_outdated: int
    lowest_alert: float | None
    highest_pass: float | None
    currencies: tuple[str | None, ...]
    n_unsuccessful: int
    unsuccessful_amount: float
    n_clusters: int
    n_fraud_clusters: int

    @property
    def currency(self) -> str:
        """Currency of the amounts; "" where it is unknown or there are several."""
        return single_currency(self.currencies)


class ModelSource(Protocol):
    """Predictions of a model: stored ones, or the rows of a frame."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def version(self) -> str:
        """Version of the model; may be empty."""

    @property
    def data(self) -> PredictionData:
        """What the report is computed from."""

    @property
    def day(self) -> str:
        """Column of the times of transactions."""

    @property
    def entity(self) -> str:
        """Column of what is ranked by day."""

    @property
    def cluster(self) -> str:
        """Column of what the bootstrap resamples."""

    @property
    def cluster_noun(self) -> str:
        """What the bootstrap resamples, in the singular."""

    @property
    def missing(self) -> Mapping[str, str]:
        """Sections that these data have no column for, and the reason."""

    @property
    def remarks(self) -> Sequence[str]:
        """What was noticed while the data were read, as sentences."""

    @property
    def knowledge(self) -> Knowledge | None:
        """What was not known yet at the time of the report; None if all is counted."""

    def infer_threshold(self) -> tuple[Threshold, str]:
        """Return the threshold in use, and where it comes from."""

    def evaluate(self) -> Evaluation:
        """Evaluate the labelled predictions, with amounts if there are any."""

    def compare(self, threshold: Threshold) -> dict[str, Evaluation] | str | None:
        """Evaluate the compared model and this one on common rows, in this order.

        Returns
        -------
        dict, str or None
            The evaluations by name; the reason why there are none; or None if no model was named.
        """

    def choose_groupings(self) -> list[Grouping]:
        """Return columns with several values, but few."""

    def evaluate_groups(self, by: Grouping, threshold: Threshold) -> GroupedEvaluation:
        """Evaluate each group."""

    def measure_drift(self, reference: Span, current: Span) -> Drift:
        """Measure the drift of the scores between two periods."""

    def read_weeks(self, threshold: float) -> pd.DataFrame:
        """Return scores and frauds of each week (from Monday, UTC): :data:`WEEK_COLUMNS`."""

    def nowcast_fraud_rate(self) -> FraudRateNowcast:
        """Nowcast the fraud rate of each week of the predictions."""

    def read_importances(self) -> pd.DataFrame:
        """Return ``feature``, ``mean``, ``size`` and ``predictions``, the largest size first."""


class FraudSource(Protocol):
    """Transactions: stored ones, or the rows of a frame."""

    @property
    def missing(self) -> Mapping[str, str]:
        """Sections that these data have no column for, and the reason."""

    @property
    def remarks(self) -> Sequence[str]:
        """What was noticed while the data were read, as sentences."""

    @property
    def knowledge(self) -> Knowledge | None:
        """What was not known yet at the time of the report; None if all is counted."""

    def fraud_rate(self, by: Any = None, **options: Any) -> pd.DataFrame:
        """Return the fraud rate by columns, periods or bins; a period is named ``timestamp``."""

    def read_extent(self) -> dict[str, Any]:
        """Return the times of the ``first`` and ``last`` transaction, and the ``delays``."""

    def read_statistics(self) -> TransactionStatistics:
        """Return counts and amounts of all transactions."""

    def read_amounts(self) -> pd.DataFrame:
        """Return sums of amounts by currency; see ``FraudReport.amounts``."""

    def choose_groupings(self) -> list[Grouping]:
        """Return columns with several values, but few."""

    def read_losses(self, column: str) -> pd.DataFrame:
        """Return ``frauds``, ``fraud_amount`` and ``lost_amount`` by ``fraud_type`` or merchant."""

    def rate_merchants(self) -> pd.DataFrame:
        """Return the fraud rate by ``merchant_id``."""

    def read_label_maturity(self) -> pd.DataFrame:
        """Return how many transactions of each week are labelled; see ``FraudReport.maturity``."""

    def nowcast_fraud_rate(self) -> FraudRateNowcast:
        """Nowcast the fraud rate of each week."""


def omit_for_weights(weight: Weight) -> tuple[dict[str, str], str]:
    """Return the sections that weighted rows cannot have with the reason, and a remark."""
    column = isinstance(weight, str)
    rows = f"those with a weight ({weight!r})" if column else "weighted ones"
    counts = f"the weights in {weight!r}" if column else f"weights: {parse_weight(weight)}"
    missing = f"Days and weeks need all transactions; {rows} are a sample."
    return dict.fromkeys(("cards", "stability"), missing), (
        f"Counts are sums of {counts}. They have no interval that assumes independent "
        "transactions; the bootstrap keeps each weight with its row."
    )


def cluster_noun(column: str) -> str:
    """Return what a value of a column of the transactions is, in the singular."""
    return _CLUSTER_NOUNS.get(column, column.replace("_", " "))


def single_currency(currencies: Sequence[str | None]) -> str:
    """Return the currency if it is known and the only one; else ""."""
    first = currencies[0] if len(currencies) == 1 else None
    return "" if pd.isna(first) else str(first)


def currency_names(
    currencies: Sequence[str | None], unknown: str = "an unknown currency"
) -> list[str]:
    """Return the names of currencies; None is an unknown one."""
    return [unknown if pd.isna(name) else str(name) for name in currencies]
