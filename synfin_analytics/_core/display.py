"""What a plot returns: its Axes, its numbers, and the means to draw it again."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False, eq=False)
class Display(Result):
    """A plot: its Axes, its numbers, and the means to draw it again.

    Its frame has the numbers behind the plot, in the order in which they are drawn. Any other
    attribute is that of its Axes, as in ``display.set_title("My title")``. A notebook shows the
    figure by itself.

    Attributes
    ----------
    ax
        The matplotlib Axes that it was drawn into.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("agg")
    >>> import pandas as pd
    >>> from synfin_analytics import fraud_rate, plot_fraud_rate
    >>> df = pd.DataFrame({"amount": [9, 8], "is_fraud": [0, 1], "channel": ["pos", "atm"]})
    >>> display = plot_fraud_rate(fraud_rate(df, by="channel"))
    >>> display
    Display('Fraud rate by channel', 2 rows)
    >>> display.to_frame()[["channel", "frauds"]].values.tolist()
    [['atm', 1], ['pos', 0]]
    """

    ax: Axes
    _numbers: pd.DataFrame
    _draw: Callable[[Axes | None], Display]

    def _table(self) -> pd.DataFrame:
        return self._numbers.copy()

    def _record(self) -> dict[str, Any]:
        return {"title": self.ax.get_title(loc="left"), "rows": self._numbers}

    def plot(self, ax: Axes | None = None) -> Display:
        """Draw the same plot again.

        Parameters
        ----------
        ax
            Where to draw; by default a new figure.
        """
        return self._draw(ax)

    def __getstate__(self) -> dict[str, Any]:
        # A function that draws cannot be pickled; the figure and its numbers can.
        return {**self.__dict__, "_draw": _not_pickled}

    def __deepcopy__(self, memo: dict[int, Any]) -> Display:
        return Display(copy.deepcopy(self.ax, memo), self.to_frame(), self._draw)

    def __getattr__(self, name: str) -> Any:
        # Copying looks special methods up before there is an `ax`.
        if name.startswith("_") or name == "ax":
            raise AttributeError(name)
        return getattr(self.ax, name)

    def __repr__(self) -> str:
        title = self.ax.get_title(loc="left")
        return f"Display({title!r}, {pluralize(len(self._numbers), 'row')})"


def _not_pickled(ax: Axes | None) -> Display:  # noqa: ARG001 - the signature of what draws
    raise ArgumentError(
        "A plot that was pickled cannot be drawn again: use its figure (.ax.figure), or plot the "
        "result again."
    )
