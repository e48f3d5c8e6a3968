"""Models side by side, and whether one is really better."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.formatting import UNDEFINED, format_decimal
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.plots import style
from synfin_analytics.plots._validation import interval_words

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.display import Display
    from synfin_analytics.metrics.comparison import Comparison


def plot_comparison(
    comparison: Comparison, ax: Axes | None = None, *, title: str | None = None
) -> Display:
    """Draw how much better or worse each model is than the first, metric by metric.

    A dot is the difference and a bar its paired interval. Where the bar leaves out 0, the dot is
    full: the rows tell the models apart. Beside it stand both values.

    Parameters
    ----------
    comparison
        What ``compare_models`` returned.
    ax
        Where to draw; by default a figure of its own.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    Display
        Its frame has the rows of ``comparison.to_frame()`` that are drawn, and the ``reference``
        value of the first model beside each.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics.metrics.comparison import compare_models
    >>> frame = pd.DataFrame(
    ...     {
    ...         "customer_id": [1, 1, 2, 2, 3, 3],
    ...         "is_fraud": [0, 1, 0, 1, 0, 1],
    ...         "good": [0.1, 0.9, 0.2, 0.8, 0.3, 0.7],
    ...         "poor": [0.6, 0.5, 0.4, 0.5, 0.6, 0.5],
    ...     }
    ... )
    >>> models = {"poor": "poor", "good": "good"}
    >>> compared = compare_models(frame, models, metrics=["roc_auc"], n_resamples=50)
    >>> plot_comparison(compared).ax.get_title(loc="left")
    'good compared with poor'
    """
    from synfin_analytics.metrics.comparison import Comparison

    if not isinstance(comparison, Comparison):
        raise ArgumentError(
            f"`comparison` must be what compare_models returned; got {type(comparison).__name__}."
        )
    first = comparison.reference
    numbers = comparison.to_frame()
    reference = numbers[numbers["model"] == first].set_index("metric")["value"]
    numbers["reference"] = numbers["metric"].map(reference)
    numbers = numbers[numbers["model"] != first].reset_index(drop=True)
    models = list(dict.fromkeys(numbers["model"]))
    whose = models[0] if len(models) == 1 else "Models"

    def draw(ax: Axes) -> None:
        style.dress(ax, f"{whose} compared with {first}" if title is None else title, grid="x")
        _differences(ax, numbers, one_model=len(models) == 1)
        dropped = int(numbers["n_undefined"].max()) if len(numbers) else 0
        draws = f"; {dropped:,} of the draws dropped" if dropped else ""
        intervals = interval_words(comparison.evaluations)
        ax.set_xlabel(
            f"difference, bars: {intervals}, full dot: without 0\n"
            f"right: value against that of {first}{draws}"
        )
        if not len(numbers):
            style.say(ax, f"nothing to compare {first} with")
            ax.set_xticks([])

    return style.drawn(ax, (8.4, 1.9 + 0.4 * max(len(numbers), 1)), numbers, draw)


def _differences(ax: Axes, numbers: pd.DataFrame, *, one_model: bool) -> None:
    from matplotlib.ticker import FuncFormatter

    from synfin_analytics.plots._ticks import signed_tick

    colours = style.palette(ax)
    rows = np.arange(len(numbers))[::-1]
    low, high = numbers["difference_low"], numbers["difference_high"]
    ax.axvline(0, color=colours.text, linewidth=1, zorder=1)
    ax.hlines(rows, low, high, color=colours.ink, linewidth=2.4, alpha=0.55, zorder=2)
    clear = ((low > 0) | (high < 0)).to_numpy()
    for some, face in ((clear, colours.ink), (~clear, colours.paper)):
        ax.plot(
            numbers["difference"][some], rows[some], "o", color=colours.ink, markerfacecolor=face,
            markersize=6, zorder=3, clip_on=False,
        )  # fmt: skip
    for row, value, reference, difference in zip(
        rows, *(numbers[name] for name in ("value", "reference", "difference")), strict=True
    ):
        known = f"{format_decimal(value)} against {format_decimal(reference)}"
        style.beside(ax, known if np.isfinite(difference) else UNDEFINED, row, size="small")
    metrics = [_METRICS.get(name, name.replace("_", " ")) for name in numbers["metric"]]
    names = [f", {name}" * (not one_model) for name in numbers["model"]]
    labels = [metric + name for metric, name in zip(metrics, names, strict=True)]
    ax.set_yticks(rows, [style.wrapped(label) for label in labels])
    for row in np.flatnonzero(numbers["metric"].ne(numbers["metric"].shift())):
        if row and not one_model:
            ax.axhline(rows[row] + 0.5, color=colours.grey, linewidth=0.6)
    ax.set_ylim(-0.6, max(len(numbers), 1) - 0.4)
    ends = numbers[["difference", "difference_low", "difference_high"]].abs().to_numpy()
    widest = float(np.nanmax(ends, initial=0.0))
    ax.set_xlim(-1.1 * widest or -1, 1.1 * widest or 1)
    ax.xaxis.set_major_formatter(FuncFormatter(signed_tick))
    ax.tick_params(axis="y", pad=8)


_METRICS = {"roc_auc": "ROC AUC", "f1": "F1", "mcc": "MCC"}
