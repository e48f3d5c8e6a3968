"""Whether a score of 0.3 means three frauds in ten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics.plots import style
from synfin_analytics.plots._validation import interval_words, missing_class, one_evaluation

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.display import Display
    from synfin_analytics.metrics.evaluation import Evaluation


def plot_calibration(
    evaluation: Evaluation, ax: Axes | None = None, *, bins: int = 10, title: str | None = None
) -> Display:
    """Draw the share of fraud among transactions of about the same score.

    A dot on the dashed line says that the scores of its transactions are right as probabilities:
    below it they are too high, above it too low. The bars are the intervals; below stands how many
    transactions there are, in powers of ten.

    Parameters
    ----------
    evaluation
        What ``evaluate`` returned.
    ax
        Where to draw; by default a figure of its own.
    bins
        Equal parts of 0 to 1 into which the scores are put.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    Display
        Its frame is ``calibration(bins)`` of the evaluation.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics.metrics.evaluation import evaluate
    >>> frame = pd.DataFrame({"p": [0.9, 0.8, 0.3, 0.1], "fraud": [1, 0, 1, 0]})
    >>> display = plot_calibration(evaluate(frame, "fraud", "p"), bins=2)
    >>> display.to_frame()[["score_to", "transactions", "fraud_rate"]].values.tolist()
    [[0.5, 2.0, 0.5], [1.0, 2.0, 0.5]]
    """
    one = one_evaluation(evaluation)
    numbers = one.calibration(bins)

    def draw(ax: Axes) -> None:
        colours = style.palette(ax)
        style.dress(ax, "Calibration" if title is None else title)
        filled = numbers[numbers["transactions"] > 0]
        end = filled["score_to"].max() if len(filled) else 1.0
        ax.plot([0, end], [0, end], color=colours.grey, linewidth=1, linestyle=style.DASHES)
        if len(filled):
            _dots(ax, filled)
        ax.set_xlim(0, end)
        ax.set_ylim(
            0, min(max(1.06 * filled["fraud_rate_high"].max(), end), 1.0) if len(filled) else 1.0
        )
        ax.yaxis.set_major_formatter(style.percent_ticks())
        ax.set_ylabel("share of fraud")
        below = _counts(ax, numbers)
        intervals = interval_words({"": one})
        below.set_xlabel(f"score; bars: {intervals}, below: transactions (powers of ten)")
        if not one.n:
            style.say(ax, missing_class(one))

    return style.drawn(ax, (6.4, 5.2), numbers, draw)


def _dots(ax: Axes, filled: pd.DataFrame) -> None:
    colours = style.palette(ax)
    score = filled["mean_score"]
    look: dict[str, Any] = {"color": colours.ink, "clip_on": False}
    ax.vlines(
        score,
        filled["fraud_rate_low"],
        filled["fraud_rate_high"],
        linewidth=2.4,
        alpha=0.55,
        **look,
    )
    ax.plot(score, filled["fraud_rate"], "o-", markersize=6, linewidth=1, **look)


def _counts(ax: Axes, numbers: pd.DataFrame) -> Axes:
    """Draw how many transactions each part holds, and write it where there is room."""
    colours = style.palette(ax)
    below = style.strip(ax, 0.6)
    counts = numbers["transactions"].to_numpy()
    heights = np.log10(1 + counts)
    middle = (numbers["score_from"] + numbers["score_to"]) / 2
    width = numbers["score_to"] - numbers["score_from"]
    below.bar(middle, heights, width=0.85 * width, color=colours.bar)
    shown = middle < ax.get_xlim()[1]
    if shown.sum() <= _MOST_WRITTEN:
        for x, height, count in zip(middle[shown], heights[shown], counts[shown], strict=True):
            below.annotate(
                style.brief(count) if count else "", (x, height), xytext=(0, 1.5),
                textcoords="offset points", ha="center", fontsize="x-small", color=colours.grey,
            )  # fmt: skip
    below.set_ylim(0, 1.5 * max(heights.max(initial=0.0), 1.0))
    below.set_yticks([])
    return below


#: Parts whose number can be written above a bar.
_MOST_WRITTEN = 12
