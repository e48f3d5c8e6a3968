"""The numbers of an explorer: the exact results of a model at each of up to 1,000 thresholds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.arguments import check_integer, check_number, check_share, check_string
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_percent, join_words, pluralize
from synfin_analytics.plots.explorer._thinning import thin_lines
from synfin_analytics.plots.thresholds import MAX_COST, axis_end

if TYPE_CHECKING:
    import pandas as pd

    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.plots.explorer._thinning import Line

#: Thresholds of an explorer at most, and how far a drawn line may be from the whole curve.
MAX_POINTS, TOLERANCE = 1000, 0.001


@dataclass(frozen=True)
class ExplorerSettings:
    """What an explorer starts with.

    Attributes
    ----------
    cost_per_alert, recovery_rate
        As for :meth:`synfin_analytics.Evaluation.cost_curve`.
    days
        Number of days that the alerts are spread over; None if it is not known.
    alerts_per_day
        Alerts that can be reviewed in a day.
    currency
        Of the amounts.
    """

    cost_per_alert: float = 5.0
    recovery_rate: float = 1.0
    days: int | None = None
    alerts_per_day: int | None = None
    currency: str = ""

    def __post_init__(self) -> None:
        check_number(self.cost_per_alert, "cost_per_alert", "an amount of at least 0", minimum=0)
        check_share(self.recovery_rate, "recovery_rate")
        if self.days is not None:
            check_integer(self.days, "days", minimum=1)
        if self.alerts_per_day is not None:
            check_integer(self.alerts_per_day, "alerts_per_day", minimum=0)
        if self.currency:
            check_string(self.currency, "currency", example="EUR")


@dataclass(frozen=True, eq=False)
class ExplorerCurve:
    """The exact results of a model at some of its thresholds.

    Attributes
    ----------
    frame
        Rows of ``evaluation.curve()``, with ``caught_amount`` if amounts are known.
    distance
        Distance that no point of the whole curve exceeds from a line through these rows, as a share
        of the axes; 0 if these are all rows.
    """

    frame: pd.DataFrame
    distance: float


def thin_curve(
    evaluation: Evaluation, settings: ExplorerSettings, *, max_points: int = MAX_POINTS
) -> ExplorerCurve:
    """Choose the thresholds that show the whole curve.

    The threshold in use is among them, and so are those of the alert budget and of the lowest cost.

    Parameters
    ----------
    evaluation
        Result of ``evaluate``.
    settings
        Costs and alert budget.
    max_points
        Thresholds at most.
    """
    curve = evaluation.curve()
    if evaluation.counts.fraud_amount is not None:
        caught = np.append(0.0, np.cumsum(evaluation.counts.fraud_amount))
        curve = curve.assign(caught_amount=caught)
    keep = _kept(evaluation, curve, settings)
    lines = _lines(curve, settings, float(evaluation.threshold))
    points, distance = thin_lines(list(lines.values()), max_points - len(keep), TOLERANCE)
    frame = curve.loc[np.union1d(points, keep)].reset_index(drop=True)
    return ExplorerCurve(frame, distance)


def explorer_data(evaluation: Evaluation, settings: ExplorerSettings) -> dict[str, Any]:
    """Return the numbers of an explorer, ready for JSON.

    Parameters
    ----------
    evaluation
        Result of ``evaluate``.
    settings
        What the explorer starts with.

    Returns
    -------
    dict
        ``points``: ``threshold`` (descending, the first None: no alert), ``alerts``, ``tp`` and,
        with amounts, ``caught``; ``n``, ``n_frauds``, ``position`` (the point of the threshold in
        use), ``threshold``, ``axis_end`` of thresholds, ``confidence_level`` and its quantile
        ``z``, the ``distance`` of the lines, a ``note`` on them, and the settings.

    Examples
    --------
    >>> from synfin_analytics import evaluate
    >>> data = explorer_data(evaluate([1, 0, 1], [0.9, 0.8, 0.3]), ExplorerSettings())
    >>> data["points"]["threshold"], data["points"]["alerts"], data["position"]
    ([None, 0.9, 0.8, 0.3], [0, 1, 2, 3], 2)
    """
    curve = thin_curve(evaluation, settings)
    frame = curve.frame
    points: dict[str, list[Any]] = {
        # JSON has no infinity.
        "threshold": [None, *frame["threshold"].tolist()[1:]],
        "alerts": frame["alerts"].tolist(),
        "tp": frame["tp"].tolist(),
    }
    if "caught_amount" in frame:
        points["caught"] = frame["caught_amount"].tolist()
    threshold = float(evaluation.threshold)
    return {
        "n": evaluation.n,
        "n_frauds": evaluation.n_frauds,
        "points": points,
        "position": int((frame["threshold"] >= _cast_threshold(evaluation)).sum()) - 1,
        "threshold": None if np.isinf(threshold) else threshold,
        "axis_end": axis_end(frame, threshold),
        "z": _quantile(evaluation),
        "confidence_level": evaluation.confidence_level,
        "distance": curve.distance,
        "note": _describe_lines(curve, settings, has_intervals=_quantile(evaluation) is not None),
        **asdict(settings),
    }


def _describe_lines(
    curve: ExplorerCurve, settings: ExplorerSettings, *, has_intervals: bool
) -> str:
    """Return what is drawn, how exactly, and what intervals and chosen thresholds assume."""
    lines = "The lines have all thresholds."
    if curve.distance:
        lines = (
            f"The lines have {pluralize(len(curve.frame), 'threshold')}, and are nowhere farther "
            f"than {format_percent(curve.distance)} of an axis from those of all thresholds; the "
            "numbers at each are exact."
        )
    dashed = ["random alerts"]
    if settings.alerts_per_day is not None:
        dashed.append("the alert budget")
    if "caught_amount" in curve.frame:
        dashed.append("the cost without alerts")
    return (
        f"Dashed: {join_words(dashed)}. {lines} A "
        "threshold that is chosen here is chosen on these transactions, so its results are "
        "optimistic."
        + (" Intervals are Wilson's: they assume independent transactions." * has_intervals)
    )


def _quantile(evaluation: Evaluation) -> float | None:
    """Return the normal quantile of Wilson's interval; None if intervals are others, or none."""
    if evaluation.interval_method != "wilson" or evaluation.counts.weighted:
        return None
    from scipy.stats import norm

    return float(norm.isf((1 - evaluation.confidence_level) / 2))


def _kept(evaluation: Evaluation, curve: pd.DataFrame, settings: ExplorerSettings) -> list[int]:
    """Return the rows of the threshold in use, of the alert budget, and of the lowest cost."""
    kept = [int((curve["threshold"] >= _cast_threshold(evaluation)).sum()) - 1]
    if settings.days is not None and settings.alerts_per_day is not None:
        budget = settings.days * settings.alerts_per_day
        kept.append(int((curve["alerts"] <= budget).sum()) - 1)
    if "caught_amount" in curve:
        kept.append(int(_cost(curve, settings).argmin()))
    return kept


def _cast_threshold(evaluation: Evaluation) -> float:
    threshold = float(evaluation.threshold)
    return threshold if np.isinf(threshold) else evaluation.counts.cast_threshold(threshold)


def _cost(curve: pd.DataFrame, settings: ExplorerSettings) -> Any:
    caught = curve["caught_amount"].to_numpy(dtype=np.float64)
    alerts = curve["alerts"].to_numpy(dtype=np.float64)
    return settings.cost_per_alert * alerts + caught[-1] - settings.recovery_rate * caught


def _lines(curve: pd.DataFrame, settings: ExplorerSettings, in_use: float) -> dict[str, Line]:
    """Return the lines of all pictures, by name, along axes from 0 to 1."""
    n = float(curve["alerts"].iloc[-1])
    end = axis_end(curve, in_use)
    threshold = np.minimum(curve["threshold"].to_numpy(dtype=np.float64), end)
    low = 1 - threshold / end  # it falls along the curve
    precision, recall, false_positive_rate = (
        curve[name].to_numpy(dtype=np.float64)
        for name in ("precision", "recall", "false_positive_rate")
    )
    alerts = np.log10(np.maximum(curve["alerts"].to_numpy(dtype=np.float64), 1))
    lines: dict[str, Line] = {
        "alerts": (low, alerts / max(np.log10(max(n, 1)), 1.0)),
        "precision by threshold": (low, precision),
        "recall by threshold": (low, recall),
        "false-positive rate by threshold": (low, false_positive_rate),
        "precision-recall curve": (recall, precision),
        "ROC curve": (false_positive_rate, recall),
    }
    if "caught_amount" in curve:
        caught = curve["caught_amount"].to_numpy(dtype=np.float64)
        total = np.full(len(caught), caught[-1])
        lines["value caught"] = (low, ratio(caught, total))
        cost = ratio(_cost(curve, settings), MAX_COST * total)
        lines["cost"] = (low, np.minimum(cost, 1.0))
    # Without fraud, there is no recall to draw along.
    return {name: line for name, line in lines.items() if not np.isnan(line[0]).any()}
