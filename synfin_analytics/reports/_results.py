"""The numbers of reports, computed from any source."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pandas as pd

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._resampling import resample
from synfin_analytics.metrics.bootstrap import CARDS, METRICS, MetricOptions
from synfin_analytics.metrics.bootstrap import Comparison as GroupsCompared
from synfin_analytics.metrics.comparison import (
    Comparison,
    compare_bootstraps,
    prepare_comparison,
)
from synfin_analytics.metrics.curve import Costs, Curve
from synfin_analytics.metrics.evaluation import prepare_entities
from synfin_analytics.metrics.grouped import format_group_key, prepare_gaps
from synfin_analytics.reports._groups import describe_grouping
from synfin_analytics.reports._maturity import read_nowcast
from synfin_analytics.reports._sources import WEEK_COLUMNS, single_currency

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synfin_analytics.metrics._resampling import Sample
    from synfin_analytics.metrics.bootstrap import Bootstrap
    from synfin_analytics.metrics.drift import Drift
    from synfin_analytics.metrics.evaluation import Evaluation, Threshold
    from synfin_analytics.metrics.gains import GainsTable
    from synfin_analytics.metrics.grouped import GroupedEvaluation, GroupValue
    from synfin_analytics.metrics.nowcast import FraudRateNowcast
    from synfin_analytics.metrics.topk import TopK
    from synfin_analytics.reports._groups import Grouping
    from synfin_analytics.reports._sources import (
        FraudSource,
        Knowledge,
        LabelDelays,
        ModelSource,
        PredictionData,
    )
    from synfin_analytics.repositories.transactions import TransactionStatistics

#: Metrics with a bootstrap interval; with amounts, the value detection rate is another.
_RESAMPLED = (*METRICS, "ks")
#: Metrics whose gaps between groups are reported.
_GAPS = ("recall", "false_positive_rate", "alert_rate")
#: The cost of a threshold, and its components.
_COSTS = ("alert_cost", "missed_amount", "unrecovered_amount", "cost", "saved")
#: Bins of amounts that are compared by default.
_DEFAULT_BINS = (10, 25, 50, 100, 200)
#: Days from which on the periods of a report are months, and weeks.
_MONTHS_FROM, _WEEKS_FROM = 730, 60


# -- Models ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """The settings of a model report.

    Attributes
    ----------
    alerts_per_day
        Alerts, or cards, that can be reviewed in a day.
    cost_per_alert, recovery_rate
        As for :meth:`synfin_analytics.Evaluation.cost_curve`.
    entity, cluster
        Columns of what is ranked by day, and of what the bootstrap resamples.
    cluster_noun
        What is resampled, in the singular.
    n_resamples, seed
        Of the bootstrap.
    threshold_source
        Where the threshold in use comes from, as text.
    """

    alerts_per_day: int
    cost_per_alert: float
    recovery_rate: float
    entity: str
    cluster: str
    cluster_noun: str
    n_resamples: int
    seed: int
    threshold_source: str


@dataclass(frozen=True, eq=False, repr=False)
class ModelResults:
    """The numbers of a model report; see :class:`synfin_analytics.ModelReport`."""

    name: str
    version: str
    data: PredictionData
    evaluation: Evaluation
    bootstraps: Mapping[str, Bootstrap]
    comparison: Comparison | str | None
    thresholds: pd.DataFrame
    cards: TopK | None
    cards_interval: Bootstrap | None
    groups: Mapping[str, GroupedEvaluation]
    gaps: Mapping[str, pd.DataFrame]
    weeks: pd.DataFrame
    nowcast: FraudRateNowcast | str | None
    drift: Drift | None
    importances: pd.DataFrame
    settings: Settings
    omitted: Mapping[str, str]
    remarks: tuple[str, ...]
    knowledge: Knowledge | None

    @property
    def several_currencies(self) -> bool:
        """Whether amounts cannot be added; an unknown currency besides another is one."""
        return len(self.data.currencies) > 1

    @property
    def has_costs(self) -> bool:
        """Whether there are amounts, and they can be added."""
        return self.evaluation.counts.amount is not None and not self.several_currencies

    @property
    def gains(self) -> GainsTable:
        """Frauds by tenth of the scores; see :meth:`synfin_analytics.Evaluation.gains_table`."""
        return self.evaluation.gains_table()

    @property
    def costs(self) -> pd.DataFrame:
        """Cost of each threshold; see :meth:`synfin_analytics.Evaluation.cost_curve`."""
        return self.evaluation.cost_curve(self.settings.cost_per_alert, self.settings.recovery_rate)

    @property
    def expected_frauds(self) -> float:
        """Sum of the scores of the labelled transactions."""
        counts = self.evaluation.counts
        return float((counts.score * counts.transactions).sum())


def compute_model(
    source: ModelSource,
    threshold: Threshold,
    settings: Settings,
    by: Sequence[Grouping] | None,
) -> dict[str, Any]:
    """Return the attributes of :class:`ModelResults`.

    Parameters
    ----------
    source
        The predictions.
    threshold
        The threshold in use.
    settings
        Further settings.
    by
        Columns to group by; None for a choice by the data.
    """
    evaluation = source.evaluate().at_threshold(threshold)
    omitted = dict(source.missing)
    # All are prepared first and resampled together, so that clusters are drawn once.
    options = MetricOptions(settings.alerts_per_day, source.day, settings.entity)
    compared, of_models, this_model = _prepare_models(source, evaluation, threshold, options)
    samples: dict[Any, Sample] = {**of_models}
    cards = None
    if "cards" not in omitted:
        cards, samples[CARDS] = prepare_entities(evaluation, settings.entity, options)
    if by is None:
        by = source.choose_groupings()
    if not by:
        omitted.setdefault("groups", "No groups were compared (by).")
    if compared is None:
        omitted.setdefault("comparison", "No other model was specified (compare_with).")
    weeks, drift = pd.DataFrame(columns=list(WEEK_COLUMNS)), None
    nowcast: FraudRateNowcast | str | None = None
    if "stability" not in omitted:
        weeks = source.read_weeks(threshold.value)
        drift = _measure_drift(source)
        nowcast = read_nowcast(source.nowcast_fraud_rate, source.data.delays)
    importances = source.read_importances()
    if not len(importances):
        omitted.setdefault(
            "importances",
            "No importances are stored with these predictions (feature_importance).",
        )
    groups = {
        describe_grouping(columns): source.evaluate_groups(columns, threshold) for columns in by
    }
    for columns, grouped in groups.items():
        of_groups = _prepare_gaps(grouped, source.cluster)
        samples |= {(columns, *key): sample for key, sample in of_groups.items()}
    bootstraps = resample(
        samples,
        n_resamples=settings.n_resamples,
        seed=settings.seed,
        confidence_level=evaluation.confidence_level,
    )
    comparison: Comparison | str | None
    if isinstance(compared, dict):
        of_compared = {key: bootstraps[key] for key in of_models if key[1] in compared}
        comparison = compare_bootstraps(compared, of_compared, options)
    else:
        comparison = compared
    return {
        "name": source.name,
        "version": source.version,
        "data": source.data,
        "evaluation": evaluation,
        "bootstraps": _add_gini(
            {metric: bootstraps[metric, this_model] for metric in _resampled(evaluation)}
        ),
        "comparison": comparison,
        "thresholds": compare_thresholds(
            evaluation,
            settings,
            source.data.n_days,
            with_costs="cost" not in omitted and len(source.data.currencies) < 2,
        ),
        "cards": cards,
        "cards_interval": bootstraps.get(CARDS),
        "groups": groups,
        "gaps": {
            columns: _measure_gaps(columns, grouped, bootstraps)
            for columns, grouped in groups.items()
        },
        "weeks": weeks,
        "nowcast": nowcast,
        "drift": drift,
        "importances": importances,
        "settings": settings,
        "omitted": omitted,
        "remarks": tuple(source.remarks),
        "knowledge": source.knowledge,
    }


def _measure_drift(source: ModelSource) -> Drift | None:
    """Measure how the scores of the second half of the period differ from those of the first."""
    first, last = source.data.first, source.data.last
    if first is None or last is None:
        return None
    middle = (first + (last - first) / 2).astimezone(dt.UTC)
    middle = middle.replace(hour=0, minute=0, second=0, microsecond=0)
    if middle <= first:  # a day or less
        return None
    return source.measure_drift((first, middle), (middle, last + dt.timedelta.resolution))


def _prepare_models(
    source: ModelSource, evaluation: Evaluation, threshold: Threshold, options: MetricOptions
) -> tuple[dict[str, Evaluation] | str | None, dict[tuple[str, Any], Sample], str | None]:
    """Prepare the model, and the comparison with another one on the rows that both scored.

    Returns
    -------
    tuple
        The evaluations that are compared, or why there are none; the samples by metric and model;
        and the name of this model among the samples: None unless the comparison has all its rows.
    """
    compared: dict[str, Evaluation] | str | None
    samples: dict[tuple[str, Any], Sample] = {}
    arguments: Any = {"cluster": source.cluster, "options": options}
    try:
        compared = source.compare(threshold)
        if isinstance(compared, dict):
            metrics = _resampled(next(iter(compared.values())))
            samples = prepare_comparison(compared, metrics=metrics, **arguments)
    except ArgumentError as error:
        compared = str(error)
    if isinstance(compared, dict):
        name = list(compared)[1]
        if compared[name].counts.fingerprint == evaluation.counts.fingerprint:
            return compared, samples, name
    own = prepare_comparison({"": evaluation}, metrics=_resampled(evaluation), **arguments)
    return compared, samples | {(metric, None): own[metric, ""] for metric, _ in own}, None


def _resampled(evaluation: Evaluation) -> tuple[str, ...]:
    """Return the metrics that have a bootstrap interval."""
    return _RESAMPLED if evaluation.counts.amount is None else (*_RESAMPLED, "value_detection_rate")


def _add_gini(bootstraps: dict[str, Bootstrap]) -> dict[str, Bootstrap]:
    area = bootstraps["roc_auc"]
    gini = replace(
        area, metric="gini", value=2 * area.value - 1, distribution=2 * area.distribution - 1,
        binning_error=2 * area.binning_error,
    )  # fmt: skip
    return {**bootstraps, "gini": gini}


def _prepare_gaps(
    grouped: GroupedEvaluation, cluster: str
) -> dict[tuple[str, GroupsCompared], Sample]:
    """Prepare the gaps between the groups that are not small."""
    metrics = [metric for metric in _GAPS if _extremes(grouped, metric)]
    return prepare_gaps(grouped, metrics, cluster) if metrics else {}


def _extremes(grouped: GroupedEvaluation, metric: str) -> tuple[GroupValue, GroupValue] | None:
    """Return the lowest and the highest group; None if they are not two."""
    lowest, highest = grouped.group_min(metric), grouped.group_max(metric)
    return None if lowest.group is None or lowest.group == highest.group else (lowest, highest)


def _measure_gaps(
    columns: str, grouped: GroupedEvaluation, bootstraps: Mapping[Any, Bootstrap]
) -> pd.DataFrame:
    """Return the gaps between the groups that are not small; see ``ModelReport.gaps``."""
    rows = []
    for metric in _GAPS:
        extremes = _extremes(grouped, metric)
        if extremes is None:
            continue
        row: dict[str, Any] = {"metric": metric}
        for name, extreme in zip(("lowest", "highest"), extremes, strict=True):
            row |= {f"{name}_group": format_group_key(extreme.group or ()), name: extreme.value}
        for comparison in get_args(GroupsCompared):
            gap = bootstraps[columns, metric, comparison]
            row |= {
                comparison: gap.value, f"{comparison}_low": gap.low, f"{comparison}_high": gap.high
            }  # fmt: skip
        rows.append(row)
    ends = [f"{name}{end}" for name in ("difference", "ratio") for end in ("", "_low", "_high")]
    names = ["metric", "lowest_group", "lowest", "highest_group", "highest", *ends]
    return pd.DataFrame(rows, columns=names)


def compare_thresholds(
    evaluation: Evaluation, settings: Settings, n_days: int, *, with_costs: bool
) -> pd.DataFrame:
    """Return the results of each threshold of interest; see ``ModelReport.thresholds``.

    Parameters
    ----------
    evaluation, settings
        Of the report.
    n_days
        Days that the alerts are spread over; 0 if they are not known.
    with_costs
        Whether there are amounts that can be added: in several currencies, they cannot.
    """
    thresholds: dict[str, Threshold] = {"in use": evaluation.threshold}
    if n_days or not evaluation.n:
        budget = settings.alerts_per_day * n_days
        thresholds["alert budget"] = evaluation.threshold_for_alerts(budget)
    parameters = (settings.cost_per_alert, settings.recovery_rate)
    if with_costs:
        thresholds["lowest cost"] = evaluation.best_threshold(*parameters)
    of_costs = None
    if with_costs and evaluation.n:
        values = [threshold.value for threshold in thresholds.values()]
        of_costs = Costs(Curve(evaluation.counts), *parameters).at(values)
        of_costs["unrecovered_amount"] = (1 - settings.recovery_rate) * of_costs["caught_amount"]
    rows = []
    for position, (criterion, threshold) in enumerate(thresholds.items()):
        result = evaluation.at_threshold(threshold)
        costs: Any = dict.fromkeys(_COSTS, np.nan)
        if of_costs is not None:
            costs = of_costs[[*_COSTS]].iloc[position]
        rows.append(
            {
                "threshold": threshold.value,
                "criterion": criterion,
                "alerts": result.alerts,
                "alerts_per_day": result.alerts / n_days if n_days else np.nan,
                "precision": result.precision,
                "recall": result.recall,
                "false_positive_rate": result.confusion.false_positive_rate,
                **costs,
                "in_sample": threshold.fitted_on == evaluation.counts.fingerprint,
            }
        )
    return pd.DataFrame(rows)


# -- Fraud -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class FraudResults:
    """The numbers of a fraud report; see :class:`synfin_analytics.FraudReport`."""

    statistics: TransactionStatistics
    first: dt.datetime | None
    last: dt.datetime | None
    amounts: pd.DataFrame
    delays: LabelDelays
    overall: pd.DataFrame
    rates: Mapping[str, pd.DataFrame]
    every: str
    over_time: pd.DataFrame
    types: pd.DataFrame
    merchants: pd.DataFrame
    maturity: pd.DataFrame
    nowcast: FraudRateNowcast | str | None
    confidence_level: float
    omitted: Mapping[str, str]
    remarks: tuple[str, ...]
    knowledge: Knowledge | None

    @property
    def currency(self) -> str:
        """Currency of the amounts; "" where it is unknown or there are several."""
        return single_currency(self.amounts["currency"].tolist())

    @property
    def several_currencies(self) -> bool:
        """Whether amounts cannot be added; an unknown currency besides another is one."""
        return len(self.amounts) > 1

    @property
    def has_amounts(self) -> bool:
        """Whether there are amounts, and they can be added."""
        return len(self.amounts) == 1


def compute_fraud(
    source: FraudSource,
    *,
    by: Sequence[Grouping] | None,
    every: str | None,
    bins: Mapping[str, Sequence[float]] | None,
    n_merchants: int,
    amount: str | None,
    confidence_level: float,
) -> dict[str, Any]:
    """Return the attributes of :class:`FraudResults`.

    Parameters
    ----------
    source
        The transactions.
    by
        Columns to group by; None for a choice by the data.
    every
        Length of the periods; None for a choice by the data.
    bins
        Columns of numbers and the edges of their bins; None for bins of the amount, if ``by`` is
        None too.
    n_merchants
        How many merchants are listed.
    amount
        Column of the amounts, if there is one.
    confidence_level
        Of all intervals.
    """
    # First, because it raises an error that explains what a database without tables lacks.
    overall = source.fraud_rate()
    omitted = dict(source.missing)
    extent, amounts = source.read_extent(), source.read_amounts()
    first, last = extent["first"], extent["last"]
    over_time = maturity = pd.DataFrame()
    nowcast: FraudRateNowcast | str | None = None
    if "time" not in omitted:
        every = every or _choose_period((last - first).days)
        over_time = source.fraud_rate(every=every)
        maturity = source.read_label_maturity()
        nowcast = read_nowcast(source.nowcast_fraud_rate, extent["delays"])
    if bins is None:  # a bin of several currencies mixes small and large amounts
        default = by is None and len(amounts) == 1 and amount is not None
        bins = {amount: _DEFAULT_BINS} if default and amount else {}
    if by is None:
        by = source.choose_groupings()
    rates = {describe_grouping(columns): source.fraud_rate(columns) for columns in by}
    rates |= {
        describe_grouping(column): source.fraud_rate(bins={column: edges})
        for column, edges in bins.items()
    }
    if not rates:
        omitted.setdefault("groups", "No groups were compared (by).")
    # Losses in several currencies cannot be compared; numbers of frauds can.
    criterion = "lost_amount" if len(amounts) == 1 else "frauds"
    types = _no_losses("fraud_type")
    if "types" not in omitted:
        types = add_share(source.read_losses("fraud_type"), criterion)
    merchants = _no_losses("merchant_id").assign(name="", labelled=0)
    if "merchants" not in omitted:
        merchants = _rank_merchants(source, n_merchants, criterion)
    return extent | {
        "statistics": source.read_statistics(),
        "overall": overall,
        "rates": rates,
        "every": every or "",
        "over_time": over_time,
        "amounts": amounts,
        "types": types,
        "merchants": merchants,
        "maturity": maturity,
        "nowcast": nowcast,
        "confidence_level": confidence_level,
        "omitted": omitted,
        "remarks": tuple(source.remarks),
        "knowledge": source.knowledge,
    }


def _no_losses(column: str) -> pd.DataFrame:
    names = [column, "frauds", "fraud_amount", "lost_amount", "share"]
    return pd.DataFrame(columns=names).astype(dict.fromkeys(names[1:], "float64"))


def _rank_merchants(source: FraudSource, n_merchants: int, criterion: str) -> pd.DataFrame:
    losses = add_share(source.read_losses("merchant_id"), criterion)
    losses = losses[losses[criterion] > 0]
    losses = losses.sort_values(criterion, ascending=False, kind="stable").head(n_merchants)
    merchants = source.rate_merchants().merge(
        losses[["merchant_id", "lost_amount", "share"]], on="merchant_id"
    )
    order = losses["merchant_id"].tolist()
    merchants = merchants.set_index("merchant_id").loc[order].reset_index()
    merchants.insert(1, "name", "")
    return merchants


def add_share(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Add the ``share`` of the sum of a column that each row has."""
    return frame.assign(share=ratio(frame[column], float(frame[column].sum())))


def _choose_period(n_days: int) -> str:
    return "1mo" if n_days > _MONTHS_FROM else "1w" if n_days > _WEEKS_FROM else "1d"
