"""Feature importances."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.formatting import format_signed
from synfin_analytics.plots._inputs import check_frame
from synfin_analytics.plots._style import (
    annotate_empty,
    annotate_right,
    create_display,
    label_rows,
    palette,
    set_rows,
    style_axes,
    wrap_label,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from synfin_analytics._core.results import Display

_REQUIRED = ("feature", "mean", "size")
#: Characters of a line of a name: longer ones would leave no room for the bars.
_NAME_WIDTH = 32


def plot_importances(
    importances: pd.DataFrame,
    ax: Axes | None = None,
    *,
    max_features: int = 15,
    title: str | None = None,
) -> Display:
    """Draw the mean importance of each feature, the largest first.

    The bar is the mean absolute value. The mean is written to the right: where importances have a
    sign, it shows the direction of a feature's effect.

    Parameters
    ----------
    importances
        ``feature``, ``mean`` and ``size`` (the mean absolute value), as in ``importances`` of a
        model report.
    ax
        Where to draw; by default a new figure of a suitable size.
    max_features
        How many features to draw at most.
    title
        Title of the plot; by default one that names what is drawn, "" for none.

    Returns
    -------
    Display
        Its numbers are the rows that are drawn.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> importances = pd.DataFrame({"feature": ["amount", "night"], "mean": [0.4, -0.1]})
    >>> importances["size"] = importances["mean"].abs()
    >>> plot_importances(importances)
    Display('Feature importances', 2 rows)
    """
    must_be = "a frame with a row for each feature"
    check_frame(importances, _REQUIRED, "importances", must_be, "the importances")
    max_features = check_integer(max_features, "max_features", minimum=1)
    order = np.argsort(-importances["size"].to_numpy(dtype=np.float64), kind="stable")
    numbers = importances.iloc[order[:max_features]].reset_index(drop=True)
    n_hidden = len(importances) - len(numbers)
    labels = [wrap_label(str(name), _NAME_WIDTH) for name in numbers["feature"]]

    def draw(ax: Axes) -> None:
        style_axes(ax, "Feature importances" if title is None else title, grid="x")
        rows = set_rows(ax, labels)
        ax.barh(rows, numbers["size"], height=0.6, color=palette(ax).bar)
        for row, mean in zip(rows, numbers["mean"], strict=True):
            annotate_right(ax, format_signed(mean), row, size="small")
        hidden = f"; {n_hidden:,} smaller not shown" if n_hidden else ""
        ax.set_xlabel(f"mean absolute importance (right: mean{hidden})")
        if not len(numbers):
            annotate_empty(ax, "no importances", ticks=False)

    return create_display(ax, (8.4, 1.3 + 0.32 * max(label_rows(labels), 1)), numbers, draw)
