"""An evaluation as a widget of Jupyter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfin_analytics._core.lookup import import_optional
from synfin_analytics.plots.explorer._data import ExplorerSettings, explorer_data

if TYPE_CHECKING:
    from synfin_analytics.metrics.evaluation import Evaluation
    from synfin_analytics.plots.explorer.widget import Explorer


def explore(
    evaluation: Evaluation,
    *,
    cost_per_alert: float = 5.0,
    recovery_rate: float = 1.0,
    alerts_per_day: int | None = None,
    day: str | None = None,
    currency: str = "",
) -> Explorer:
    """Return a widget of the thresholds of an evaluation.

    See :meth:`synfin_analytics.Evaluation.explore`.

    Raises
    ------
    MissingDependencyError
        anywidget is not installed; the message contains the command that installs it.
    """
    import_optional("anywidget", extra="notebooks", purpose="The explorer of thresholds")
    from synfin_analytics.plots.explorer.widget import Explorer

    days = None if day is None else len(evaluation.precision_at_k(1, day=day).daily) or None
    settings = ExplorerSettings(cost_per_alert, recovery_rate, days, alerts_per_day, currency)
    return Explorer(explorer_data(evaluation, settings))
