"""Differences between models, with paired intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.formatting import UNDEFINED, format_decimal
from synfin_analytics.plots._inputs import check_result, describe_intervals
from synfin_analytics.plots._style import (
    annotate_empty,
    annotate_right,
    create_display,
    palette,
    set_rows,
    style_axes,
    wrap_label,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display
    from synfin_analytics.metrics.comparison import Comparison

_METRIC_NAMES = {"roc_auc": "ROC AUC", "f1": "F1", "mcc": "MCC"}


def plot_comparison(
    comparison: Comparison, ax: Axes | None = None, *, title: str | None = None
) -> Display:
    """Draw the difference of each model from the first, metric by metric.

    A dot is the difference and a bar its paired confidence interval. The dot is solid where the
    interval excludes 0: the difference is significant. Both values are written to the right.

    Parameters
    ----------
    comparison
        Result of ``compare_models``.
    ax
        Where to draw; by default a new figure.
    title
        Title of the plot; by default one that names the models, "" for none.

    Returns
    -------
    Display
        Its numbers are the rows of ``comparison.to_frame()`` that are drawn, with the
        ``reference`` value of the first model.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import compare_models
    >>> df = pd.DataFrame(
    ...     {
    ...         "customer_id": [1, 1, 2, 2, 3, 3],
    ...         "is_fraud": [0, 1, 0, 1, 0, 1],
    ...         "good": [0.1, 0.9, 0.2, 0.8, 0.3, 0.7],
    ...         "poor": [0.6, 0.5, 0.4, 0.5, 0.6, 0.5],
    ...     }
    ... )
    >>> models = {"poor": "poor", "good": "good"}
    >>> comparison = compare_models(df, models, metrics=["roc_auc"], n_resamples=50)
    >>> plot_comparison(comparison)
    Display('good compared with poor', 1 row)
    """
    from synfin_analytics.metrics.comparison import Comparison

    check_result(comparison, Comparison, "comparison", "compare_models(...)")
    reference = comparison.reference
    numbers = comparison.to_frame()
    reference_values = numbers[numbers["model"] == reference].set_index("metric")["value"]
    numbers["reference"] = numbers["metric"].map(reference_values)
    numbers = numbers[numbers["model"] != reference].reset_index(drop=True)
    models = list(dict.fromkeys(numbers["model"]))
    subject = models[0] if len(models) == 1 else "Models"

    def draw(ax: Axes) -> None:
        heading = f"{subject} compared with {reference}" if title is None else title
        style_axes(ax, heading, grid="x")
        _draw_differences(ax, numbers, single_model=len(models) == 1)
        n_undefined = int(numbers["n_undefined"].max()) if len(numbers) else 0
        undefined = f"; undefined in {n_undefined:,} resamples" if n_undefined else ""
        intervals = describe_intervals(*comparison.evaluations.values())
        ax.set_xlabel(
            f"difference (bars: {intervals}, solid dot: significant)\n"
            f"right: value vs. value of {reference}{undefined}"
        )
        if not len(numbers):
            annotate_empty(ax, f"no model to compare with {reference}", ticks=False)

    return create_display(ax, (8.4, 1.9 + 0.4 * max(len(numbers), 1)), numbers, draw)


def _draw_differences(ax: Axes, numbers: pd.DataFrame, *, single_model: bool) -> None:
    from matplotlib.ticker import FuncFormatter

    from synfin_analytics.plots._ticks import signed_tick

    colours = palette(ax)
    labels = [_METRIC_NAMES.get(name, name.replace("_", " ")) for name in numbers["metric"]]
    if not single_model:
        models = numbers["model"]
        labels = [f"{metric}, {model}" for metric, model in zip(labels, models, strict=True)]
    rows = set_rows(ax, [wrap_label(label) for label in labels])
    low, high = numbers["difference_low"], numbers["difference_high"]
    ax.axvline(0, color=colours.text, linewidth=1, zorder=1)
    ax.hlines(rows, low, high, color=colours.ink, linewidth=2.4, alpha=0.55, zorder=2)
    significant = ((low > 0) | (high < 0)).to_numpy()
    for subset, face in ((significant, colours.ink), (~significant, colours.paper)):
        ax.plot(
            numbers["difference"][subset], rows[subset], "o", color=colours.ink,
            markerfacecolor=face, markersize=6, zorder=3, clip_on=False,
        )  # fmt: skip
    values = (numbers[name] for name in ("value", "reference", "difference"))
    for row, value, reference, difference in zip(rows, *values, strict=True):
        pair = f"{format_decimal(value)} vs. {format_decimal(reference)}"
        annotate_right(ax, pair if np.isfinite(difference) else UNDEFINED, row, size="small")
    for row in np.flatnonzero(numbers["metric"].ne(numbers["metric"].shift())):
        if row and not single_model:
            ax.axhline(rows[row] + 0.5, color=colours.muted, linewidth=0.6)
    ends = numbers[["difference", "difference_low", "difference_high"]].abs().to_numpy()
    widest = float(np.nanmax(ends, initial=0.0))
    ax.set_xlim(-1.1 * widest or -1, 1.1 * widest or 1)
    ax.xaxis.set_major_formatter(FuncFormatter(signed_tick))
