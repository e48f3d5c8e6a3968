"""What a model looked at most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.formatting import format_signed
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.plots import style

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.display import Display

_NEEDED = ("feature", "mean", "size")
#: Letters in a line of a name: longer ones would leave no room for the bars.
_LINE = 32


def plot_importances(
    importances: pd.DataFrame,
    ax: Axes | None = None,
    *,
    max_features: int = 15,
    title: str | None = None,
) -> Display:
    """Draw the mean importance of each feature, the largest first.

    The bar is the mean of the absolute values; beside it stands the mean itself, whose sign says
    which way a feature pulls where importances have one.

    Parameters
    ----------
    importances
        ``feature``, ``mean`` and ``size``; as ``importances`` of a model report.
    ax
        Where to draw; by default a figure of a size that fits.
    max_features
        Features that are drawn at most.
    title
        Other than the one that says what is drawn; "" for none.

    Returns
    -------
    Display
        Its frame has the rows that are drawn.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> found = pd.DataFrame({"feature": ["amount", "night"], "mean": [0.4, -0.1]})
    >>> display = plot_importances(found.assign(size=found["mean"].abs()))
    >>> [label.get_text() for label in display.ax.get_yticklabels()]
    ['amount', 'night']
    """
    if not hasattr(importances, "columns"):
        raise ArgumentError(
            f"`importances` must be a frame of features; got {type(importances).__name__}."
        )
    for name in _NEEDED:
        if name not in importances:
            raise NotFoundError("column", name, importances.columns, where="the importances")
    max_features = check_integer(max_features, "max_features", minimum=1)
    order = np.argsort(-importances["size"].to_numpy(dtype=np.float64), kind="stable")
    numbers = importances.iloc[order[:max_features]].reset_index(drop=True)
    left_out = len(importances) - len(numbers)
    names = [style.wrapped(str(name), _LINE) for name in numbers["feature"]]

    def draw(ax: Axes) -> None:
        colours = style.palette(ax)
        style.dress(ax, "Feature importances" if title is None else title, grid="x")
        rows = np.arange(len(numbers))[::-1]
        ax.barh(rows, numbers["size"], height=0.6, color=colours.bar)
        for row, mean in zip(rows, numbers["mean"], strict=True):
            style.beside(ax, format_signed(mean), row, size="small")
        ax.set_yticks(rows, names)
        ax.set_ylim(-0.6, max(len(numbers), 1) - 0.4)
        ax.tick_params(axis="y", pad=8)
        more = f"; {left_out:,} smaller not shown" if left_out else ""
        ax.set_xlabel(f"bar: mean of the absolute values, right: mean{more}")
        if not len(numbers):
            style.say(ax, "no importances")
            ax.set_xticks([])

    return style.drawn(ax, (8.4, 1.3 + 0.32 * max(style.rows_of(names), 1)), numbers, draw)
