"""The numbers of an explorer: the exact results of a model at each of up to 1,000 thresholds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.arguments import check_integer, check_number, check_share, check_string
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_percent, join_words, pluralize
from synfin_analytics.metrics.curve import Curve, lowest_row
from synfin_analytics.plots.explorer._thinning import thin_lines
from synfin_analytics.plots.thresholds import MAX_COST, axis_end

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from synfin_analytics._core.types import Floats
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
    table = CurveTable(evaluation)
    keep = table.kept_rows(settings)
    points, distance = thin_lines(
        lambda rows: [*table.lines(rows, settings).values()],
        table.n_rows, max_points - len(keep), TOLERANCE,
    )  # fmt: skip
    return ExplorerCurve(table.read_rows(np.union1d(points, keep)), distance)


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
        "axis_end": axis_end(frame["threshold"].to_numpy(), threshold),
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


def _cast_threshold(evaluation: Evaluation) -> float:
    threshold = float(evaluation.threshold)
    return threshold if np.isinf(threshold) else evaluation.counts.cast_threshold(threshold)


class CurveTable:
    """The curve of an evaluation with the value caught, of which some rows can be read."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation, self._curve = evaluation, Curve(evaluation.counts)
        self._caught: Floats | None = None
        if evaluation.counts.fraud_amount is not None:
            self._caught = np.append(0.0, np.cumsum(evaluation.counts.fraud_amount))
        self.n_rows = self._curve.n_rows

    def read_rows(self, rows: NDArray[np.intp]) -> pd.DataFrame:
        """Return rows by their numbers."""
        frame = self._curve.read_rows(rows)
        return frame if self._caught is None else frame.assign(caught_amount=self._caught[rows])

    def kept_rows(self, settings: ExplorerSettings) -> list[int]:
        """Return the rows of the threshold in use, of the alert budget, and of the lowest cost."""
        kept = [self._curve.count_scores(float(self._evaluation.threshold))]
        if settings.days is not None and settings.alerts_per_day is not None:
            budget = settings.days * settings.alerts_per_day
            kept.append(int(np.searchsorted(self._curve.alerts, budget, side="right")))
        if self._caught is not None:
            kept.append(lowest_row(self.n_rows, lambda rows: self._cost(rows, settings)))
        return kept

    def _cost(self, rows: NDArray[np.intp], settings: ExplorerSettings) -> Floats:
        caught: Any = self._caught
        cost: Floats = settings.cost_per_alert * self._curve.count_alerts(rows) + (
            caught[-1] - settings.recovery_rate * caught[rows]
        )
        return cost

    def lines(self, rows: NDArray[np.intp], settings: ExplorerSettings) -> dict[str, Line]:
        """Return the lines of all pictures at some rows, by name, along axes from 0 to 1."""
        frame, n = self.read_rows(rows), float(self._curve.n)
        highest = self._curve.thresholds(np.arange(min(2, self.n_rows)))
        end = axis_end(highest, float(self._evaluation.threshold))
        threshold = np.minimum(frame["threshold"].to_numpy(), end)
        low = 1 - threshold / end  # it falls along the curve
        precision, recall, false_positive_rate = (
            frame[name].to_numpy() for name in ("precision", "recall", "false_positive_rate")
        )
        alerts = np.log10(np.maximum(frame["alerts"].to_numpy(dtype=np.float64), 1))
        lines: dict[str, Line] = {
            "alerts": (low, alerts / max(np.log10(max(n, 1)), 1.0)),
            "precision by threshold": (low, precision),
            "recall by threshold": (low, recall),
            "false-positive rate by threshold": (low, false_positive_rate),
            "precision-recall curve": (recall, precision),
            "ROC curve": (false_positive_rate, recall),
        }
        if self._caught is not None:
            caught = frame["caught_amount"].to_numpy()
            total = np.full(len(caught), self._caught[-1])
            lines["value caught"] = (low, ratio(caught, total))
            cost = ratio(self._cost(rows, settings), MAX_COST * total)
            lines["cost"] = (low, np.minimum(cost, 1.0))
        # Recall is not defined without fraud, so lines along it are left out.
        return {name: line for name, line in lines.items() if not np.isnan(line[0]).any()}
