"""Calibration: the fraud rate among transactions of a similar score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.formatting import format_compact
from synfin_analytics.plots._style import (
    DASHES,
    add_count_panel,
    annotate_empty,
    create_display,
    palette,
    percent_formatter,
    style_axes,
)
from synfin_analytics.plots._validation import (
    check_evaluation,
    describe_intervals,
    explain_no_curve,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display
    from synfin_analytics.metrics.evaluation import Evaluation

#: Bins whose count can be written above a bar.
_MAX_COUNTS = 12


def plot_calibration(
    evaluation: Evaluation, ax: Axes | None = None, *, bins: int = 10, title: str | None = None
) -> Display:
    """Draw the fraud rate among transactions of a similar score.

    A dot on the dashed line means that the scores are calibrated: as probabilities, scores are too
    high below the line and too low above it. The bars are confidence intervals; the panel below
    shows how many transactions there are, on a logarithmic scale.

    Parameters
    ----------
    evaluation
        Result of ``evaluate``.
    ax
        Where to draw; by default a new figure.
    bins
        Number of bins of equal width between 0 and 1.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are those of ``evaluation.calibration(bins)``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate
    >>> df = pd.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> display = plot_calibration(evaluate(df, "fraud", "p"), bins=2)
    >>> display.to_frame()[["score_to", "transactions", "fraud_rate"]].values.tolist()
    [[0.5, 2.0, 0.5], [1.0, 2.0, 0.5]]
    """
    evaluation = check_evaluation(evaluation)
    numbers = evaluation.calibration(bins)

    def draw(ax: Axes) -> None:
        colours = palette(ax)
        style_axes(ax, "Calibration" if title is None else title)
        filled = numbers[numbers["transactions"] > 0]
        end = filled["score_to"].max() if len(filled) else 1.0
        ax.plot([0, end], [0, end], color=colours.muted, linewidth=1, linestyle=DASHES)
        top = 1.0
        if len(filled):
            _draw_rates(ax, filled)
            top = min(max(1.06 * filled["fraud_rate_high"].max(), end), 1.0)
        ax.set_xlim(0, end)
        ax.set_ylim(0, top)
        ax.yaxis.set_major_formatter(percent_formatter())
        ax.set_ylabel("fraud rate")
        panel = _add_counts(ax, numbers)
        panel.set_xlabel(
            f"score (bars: {describe_intervals(evaluation)}; below: transactions, log scale)"
        )
        if not evaluation.n:
            annotate_empty(ax, explain_no_curve(evaluation))

    return create_display(ax, (6.4, 5.2), numbers, draw)


def _draw_rates(ax: Axes, filled: pd.DataFrame) -> None:
    scores = filled["mean_score"]
    look: dict[str, Any] = {"color": palette(ax).ink, "clip_on": False}
    ax.vlines(
        scores, filled["fraud_rate_low"], filled["fraud_rate_high"], linewidth=2.4, alpha=0.55,
        **look,
    )  # fmt: skip
    ax.plot(scores, filled["fraud_rate"], "o-", markersize=6, linewidth=1, **look)


def _add_counts(ax: Axes, numbers: pd.DataFrame) -> Axes:
    """Draw how many transactions each bin holds, and write it where there is room."""
    colours = palette(ax)
    panel = add_count_panel(ax, 0.6)
    counts = numbers["transactions"].to_numpy()
    heights = np.log10(1 + counts)
    centers = (numbers["score_from"] + numbers["score_to"]) / 2
    widths = numbers["score_to"] - numbers["score_from"]
    panel.bar(centers, heights, width=0.85 * widths, color=colours.bar)
    visible = centers < ax.get_xlim()[1]
    if visible.sum() <= _MAX_COUNTS:
        bars = zip(centers[visible], heights[visible], counts[visible], strict=True)
        for center, height, count in bars:
            panel.annotate(
                format_compact(count) if count else "", (center, height), xytext=(0, 1.5),
                textcoords="offset points", ha="center", fontsize="x-small", color=colours.muted,
            )  # fmt: skip
    panel.set_ylim(0, 1.5 * max(heights.max(initial=0.0), 1.0))
    panel.set_yticks([])
    return panel
