"""Result objects: conversion to DataFrames and to plain Python objects; the result of a plot."""

from __future__ import annotations

import copy
import datetime as dt
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd

from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.output import from_pandas, from_polars
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
    import pyarrow as pa
    from matplotlib.axes import Axes

    from synfin_analytics._core.output import Output


def to_plain(value: Any) -> Any:
    """Convert a value to what ``json.dumps`` accepts.

    NaN, infinite and missing numbers become None, times ISO 8601 strings, frames lists of rows.

    Examples
    --------
    >>> to_plain({"k": np.int64(3), "value": float("nan"), "day": dt.date(2026, 1, 31)})
    {'k': 3, 'value': None, 'day': '2026-01-31'}
    """
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, pd.DataFrame):
        return [to_plain(row) for row in value.to_dict("records")]
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.ndarray | pd.Series):
        return [to_plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | Decimal):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dt.date):  # a datetime, too
        return value.isoformat()
    return str(value)


class Result(ABC):
    """Base class of result objects."""

    __slots__ = ()

    @overload
    def to_frame(self, output: Literal["pandas"] = ...) -> pd.DataFrame: ...
    @overload
    def to_frame(self, output: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def to_frame(self, output: Literal["arrow"]) -> pa.Table: ...
    @overload
    def to_frame(self, output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table: ...
    def to_frame(self, output: Output = "pandas") -> pd.DataFrame | pl.DataFrame | pa.Table:
        """Return the result as a DataFrame; the class describes its columns.

        Parameters
        ----------
        output
            ``"pandas"``, ``"polars"`` or ``"arrow"``.

        Returns
        -------
        pandas.DataFrame, polars.DataFrame or pyarrow.Table

        Raises
        ------
        ArgumentError
            ``output`` is none of these.

        Examples
        --------
        >>> from synfin_analytics import Confusion
        >>> Confusion(tp=3, fp=1, fn=2, tn=94).to_frame("polars").rows()
        [('fraud', 3, 2), ('genuine', 1, 94)]
        """
        table = self._table()  # a new frame, which needs no copy
        convert: Any = from_pandas if isinstance(table, pd.DataFrame) else from_polars
        return convert(table, output)

    def to_dict(self) -> dict[str, Any]:
        """Return the result as plain Python objects that ``json.dumps`` accepts.

        Undefined (NaN), missing and infinite numbers are None; times are ISO 8601 strings.

        Examples
        --------
        >>> from synfin_analytics import Confusion
        >>> Confusion(tp=3, fp=1, fn=2, tn=94).to_dict()
        {'tp': 3, 'fp': 1, 'fn': 2, 'tn': 94}
        """
        plain: dict[str, Any] = to_plain(self._record())
        return plain

    @abstractmethod
    def _table(self) -> pd.DataFrame | pl.DataFrame:
        """Return the result as a new frame."""

    @abstractmethod
    def _record(self) -> Mapping[str, Any]:
        """Return the result as a dictionary."""


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

        Examples
        --------
        >>> from synfin_analytics import Confusion
        >>> display = Confusion(tp=3, fp=1, fn=2, tn=94).plot()
        >>> display.plot()
        Display('Confusion matrix', 4 rows)
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
