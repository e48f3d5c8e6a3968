"""The confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_percent, format_percent_interval, pluralize
from synfin_analytics.metrics.confusion import Confusion
from synfin_analytics.metrics.proportions import IntervalMethod, proportion_interval
from synfin_analytics.plots import style
from synfin_analytics.plots._validation import at_threshold, one_evaluation

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.display import Display
    from synfin_analytics.metrics.evaluation import Evaluation

#: Counts from top left to bottom right, and what each is called.
_CELLS = (("tp", "found"), ("fn", "missed"), ("fp", "false alarms"), ("tn", "left alone"))
_TRUTH = ("fraud", "genuine")
_SAID = ("alert", "no alert")


def plot_confusion(
    evaluation: Evaluation | Confusion, ax: Axes | None = None, *, title: str | None = None
) -> Display:
    """Draw what was found, missed, wrongly alerted and left alone.

    Each row is what came true, and each field says how many transactions it holds and which share
    of its row that is: the darker, the larger the share. Below stands the precision.

    Parameters
    ----------
    evaluation
        An evaluation, at its threshold; or a :class:`synfin_analytics.Confusion`.
    ax
        Where to draw; by default a figure of its own.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    Display
        Its frame has a row for each field: ``truth``, ``prediction``, ``meaning``,
        ``transactions``, and their ``share`` of the row with its interval.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from synfin_analytics import Confusion
    >>> display = plot_confusion(Confusion(tp=3, fp=1, fn=2, tn=94))
    >>> display.to_frame()[["meaning", "transactions", "share"]].values.tolist()[0]
    ['found', 3, 0.6]
    """
    import pandas as pd

    if isinstance(evaluation, Confusion):
        counts, what = evaluation, "Confusion matrix"
        kind: IntervalMethod = "wilson"
        level = 0.95
    else:
        one = one_evaluation(evaluation)
        counts, what = one.confusion, f"Confusion {at_threshold(one)}"
        kind, level = one.interval_method, one.confidence_level
    cells = np.array([getattr(counts, name) for name, _ in _CELLS])
    rows = np.repeat(cells.reshape(2, 2).sum(axis=1), 2)
    low, high = proportion_interval(cells, rows, kind, level)
    numbers = pd.DataFrame(
        {
            "truth": np.repeat(_TRUTH, 2),
            "prediction": np.tile(_SAID, 2),
            "meaning": [meaning for _, meaning in _CELLS],
            "transactions": cells,
            "share": ratio(cells, rows),
            "share_low": low,
            "share_high": high,
        }
    )

    def draw(ax: Axes) -> None:
        _matrix(ax, numbers, counts, counts.confidence_interval("precision", kind, level))
        style.dress(ax, what if title is None else title, grid="")
        ax.tick_params(axis="x", length=0)
        ax.spines["bottom"].set_visible(False)

    return style.drawn(ax, (6.0, 4.2), numbers, draw)


def _matrix(
    ax: Axes, numbers: pd.DataFrame, counts: Confusion, precision: tuple[float, float]
) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = style.palette(ax)
    shades = LinearSegmentedColormap.from_list("ink", [colours.paper, colours.ink])
    shares = numbers["share"].to_numpy().reshape(2, 2)
    ax.imshow(np.nan_to_num(shares), cmap=shades, vmin=0, vmax=1, aspect="auto")
    ax.axhline(0.5, color=colours.paper, linewidth=4)
    ax.axvline(0.5, color=colours.paper, linewidth=4)
    for place, (_, cell) in enumerate(numbers.iterrows()):
        row, column = divmod(place, 2)
        lines = [
            (-0.2, f"{cell['transactions']:,}", "x-large", "bold"),
            (0.05, cell["meaning"], "medium", "normal"),
            (0.25, format_percent(cell["share"]), "small", "normal"),
        ]
        if np.isfinite(cell["share"]):
            lines.append(
                (
                    0.38,
                    format_percent_interval(cell["share_low"], cell["share_high"]),
                    "x-small",
                    "normal",
                )
            )
        for down, text, size, weight in lines:
            ax.text(
                column,
                row + down,
                text,
                ha="center",
                va="center",
                fontsize=size,
                fontweight=weight,
                color=style.readable(shades(np.nan_to_num(cell["share"]))),
            )
    alerts = counts.tp + counts.fp
    ax.set_xticks([0, 1], _with_counts(_SAID, (alerts, counts.n - alerts)))
    ax.xaxis.tick_top()
    frauds = counts.tp + counts.fn
    ax.set_yticks([0, 1], _with_counts(_TRUTH, (frauds, counts.n - frauds)))
    ax.set_xlabel(
        counts.undefined_reason("precision")
        or f"of {pluralize(alerts, 'alert')} fraud: {format_percent(counts.precision)} "
        f"({format_percent_interval(*precision)})"
    )


def _with_counts(names: tuple[str, str], counts: tuple[int, int]) -> list[str]:
    return [f"{name}\n{count:,}" for name, count in zip(names, counts, strict=True)]
