"""The confusion matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_number, format_percent, format_percent_interval
from synfin_analytics.metrics.confusion import Confusion
from synfin_analytics.metrics.proportions import IntervalMethod, proportion_interval
from synfin_analytics.plots._inputs import check_evaluation, describe_threshold
from synfin_analytics.plots._style import create_display, palette, style_axes, text_color

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display
    from synfin_analytics.metrics.evaluation import Evaluation

#: Counts from top left to bottom right, and their names.
_CELLS = (("tp", "detected"), ("fn", "missed"), ("fp", "false alarms"), ("tn", "correctly passed"))
_TRUTH = ("fraud", "genuine")
_PREDICTION = ("alert", "no alert")


def plot_confusion(
    evaluation: Evaluation | Confusion, ax: Axes | None = None, *, title: str | None = None
) -> Display:
    """Draw the confusion matrix.

    Rows are the labels. Each cell shows its count and its share of the row with a confidence
    interval; the larger the share, the darker the cell. Precision is written below.

    Parameters
    ----------
    evaluation
        Result of ``evaluate``, at its threshold; or a :class:`synfin_analytics.Confusion`.
    ax
        Where to draw; by default a new figure.
    title
        Title of the plot; by default one that names the threshold, "" for none.

    Returns
    -------
    Display
        Its numbers are a row for each cell: ``truth``, ``prediction``, ``meaning``,
        ``transactions``, and their ``share`` of the row from ``share_low`` to ``share_high``.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> from synfin_analytics import Confusion
    >>> display = plot_confusion(Confusion(tp=3, fp=1, fn=2, tn=94))
    >>> display.to_frame()[["meaning", "transactions", "share"]].values.tolist()[0]
    ['detected', 3, 0.6]
    """
    import pandas as pd

    method: IntervalMethod = "wilson"
    if isinstance(evaluation, Confusion):
        confusion, heading, level = evaluation, "Confusion matrix", 0.95
    else:
        evaluation = check_evaluation(evaluation)
        confusion = evaluation.confusion
        heading = f"Confusion matrix at {describe_threshold(evaluation)}"
        method, level = evaluation.interval_method, evaluation.confidence_level
    counts = np.array([getattr(confusion, name) for name, _ in _CELLS])
    totals = np.repeat(counts.reshape(2, 2).sum(axis=1), 2)
    low = high = np.full(len(counts), np.nan)
    if not confusion.weighted:
        low, high = proportion_interval(
            counts, totals, interval_method=method, confidence_level=level
        )
    numbers = pd.DataFrame(
        {
            "truth": np.repeat(_TRUTH, 2),
            "prediction": np.tile(_PREDICTION, 2),
            "meaning": [meaning for _, meaning in _CELLS],
            "transactions": counts,
            "share": ratio(counts, totals),
            "share_low": low,
            "share_high": high,
        }
    )

    def draw(ax: Axes) -> None:
        interval = ""
        if not confusion.weighted:
            ends = confusion.confidence_interval(
                "precision", interval_method=method, confidence_level=level
            )
            interval = f" ({format_percent_interval(*ends)})"
        _draw_matrix(ax, numbers, confusion, interval)
        style_axes(ax, heading if title is None else title, grid="")
        ax.tick_params(axis="x", length=0)
        ax.spines["bottom"].set_visible(False)

    return create_display(ax, (6.0, 4.2), numbers, draw)


def _draw_matrix(ax: Axes, numbers: pd.DataFrame, confusion: Confusion, interval: str) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = palette(ax)
    shades = LinearSegmentedColormap.from_list("ink", [colours.paper, colours.ink])
    shares = np.nan_to_num(numbers["share"].to_numpy())
    ax.imshow(shares.reshape(2, 2), cmap=shades, vmin=0, vmax=1, aspect="auto")
    ax.axhline(0.5, color=colours.paper, linewidth=4)
    ax.axvline(0.5, color=colours.paper, linewidth=4)
    for position, (_, cell) in enumerate(numbers.iterrows()):
        row, column = divmod(position, 2)
        lines = [
            (-0.2, format_number(cell["transactions"]), "x-large", "bold"),
            (0.05, cell["meaning"], "medium", "normal"),
            (0.25, format_percent(cell["share"]), "small", "normal"),
        ]
        if np.isfinite(cell["share_low"]):
            share = format_percent_interval(cell["share_low"], cell["share_high"])
            lines.append((0.38, share, "x-small", "normal"))
        for offset, text, size, weight in lines:
            ax.text(
                column,
                row + offset,
                text,
                ha="center",
                va="center",
                fontsize=size,
                fontweight=weight,
                color=text_color(shades(shares[position])),
            )
    alerts, frauds = confusion.tp + confusion.fp, confusion.tp + confusion.fn
    ax.set_xticks([0, 1], _with_counts(_PREDICTION, (alerts, confusion.n - alerts)))
    ax.xaxis.tick_top()
    ax.set_yticks([0, 1], _with_counts(_TRUTH, (frauds, confusion.n - frauds)))
    ax.set_xlabel(
        confusion.undefined_reason("precision")
        or f"precision: {format_percent(confusion.precision)}{interval}"
    )


def _with_counts(names: tuple[str, str], counts: tuple[int, int]) -> list[str]:
    return [f"{name}\n{format_number(count)}" for name, count in zip(names, counts, strict=True)]
