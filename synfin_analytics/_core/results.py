"""Result objects: conversion to DataFrames and to plain Python objects; the result of a plot."""

from __future__ import annotations

import copy
import datetime as dt
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args, overload

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import argument_error
from synfin_analytics._core.classifiers import mark_fraud, score_classifier
from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.lookup import evaluate, plot_function
from synfin_analytics._core.output import from_pandas, from_polars
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
    import pyarrow as pa
    from matplotlib.axes import Axes

    from synfin_analytics._core.output import Output
    from synfin_analytics._core.types import ArrayLike

#: Plots of an evaluation: the functions ``plot_...`` of :mod:`synfin_analytics.plots`. Those with a
#: legend name the model in it.
EvaluationPlot: TypeAlias = Literal[
    "roc", "precision_recall", "thresholds", "calibration", "confusion"
]
_PLOTS: tuple[str, ...] = get_args(EvaluationPlot)
_WITH_LEGEND = ("roc", "precision_recall")


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

    All plots return it. :meth:`from_predictions` and :meth:`from_estimator` draw labels and scores,
    and a classifier, as scikit-learn's displays do.

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

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        plot: EvaluationPlot = "roc",
        threshold: float = 0.5,
        pos_label: object = None,
        sample_weight: ArrayLike | None = None,
        bins: int | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        title: str | None = None,
    ) -> Display:
        """Draw labels and scores, as ``RocCurveDisplay.from_predictions`` of scikit-learn does.

        Parameters
        ----------
        y_true
            Labels: 1 or true for fraud, unless ``pos_label`` says otherwise.
        y_score
            Scores from 0 to 1, higher for likely fraud.
        plot
            ``"roc"``, ``"precision_recall"``, ``"thresholds"``, ``"calibration"`` or
            ``"confusion"``: the plot is that of the function ``plot_...`` of this name.
        threshold
            A score at the threshold or above is an alert.
        pos_label
            The label of fraud.
        sample_weight
            How many transactions each one stands for.
        bins
            Of the calibration: number of bins, by default 10.
        name
            Name of the model in the legend of ``"roc"`` and ``"precision_recall"``.
        ax
            Where to draw; by default a new figure.
        title
            Title of the plot; by default one that names what is drawn, "" for none.

        Returns
        -------
        Display
            The same as, for example, ``plot_roc(evaluate(y_true, y_score))``.

        Raises
        ------
        ArgumentError
            Labels or scores are invalid, as for :func:`synfin_analytics.evaluate`; or an argument
            is unknown or does not belong to the plot.

        Examples
        --------
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> display = Display.from_predictions([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1], name="forest")
        >>> display
        Display('ROC curve', 5 rows)
        >>> display.ax.get_legend().get_texts()[0].get_text()
        'forest: AUC 0.750'
        """
        _check_plot(plot, bins, name)
        labels = y_true if pos_label is None else mark_fraud(y_true, pos_label)
        evaluation = evaluate(labels, y_score, threshold=threshold, weight=sample_weight)
        options: dict[str, Any] = {"title": title}
        if bins is not None:
            options["bins"] = bins
        result = evaluation if name is None else {name: evaluation}
        return draw(f"plot_{plot}", result, ax, **options)

    @classmethod
    def from_estimator(
        cls,
        model: object,
        X: object,  # noqa: N803 - scikit-learn's name
        y: ArrayLike,
        *,
        plot: EvaluationPlot = "roc",
        threshold: float = 0.5,
        pos_label: object = None,
        sample_weight: ArrayLike | None = None,
        bins: int | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        title: str | None = None,
    ) -> Display:
        """Draw a fitted classifier, as ``RocCurveDisplay.from_estimator`` of scikit-learn does.

        Parameters
        ----------
        model
            A fitted classifier of two classes. Without ``predict_proba``, its decision function is
            mapped to 0 to 1, and a threshold of 0.5 is a decision of 0.
        X, y
            Its features and the labels.
        plot, threshold
            As for :meth:`from_predictions`.
        pos_label
            The class that means fraud; by default the second. Needed if classes are texts.
        sample_weight, bins
            As for :meth:`from_predictions`.
        name
            Name of the model in the legend of ``"roc"`` and ``"precision_recall"``; by default that
            of its class.
        ax, title
            As for :meth:`from_predictions`.

        Returns
        -------
        Display

        Raises
        ------
        ArgumentError
            As for :meth:`from_predictions`; the model is not a fitted classifier of two classes;
            or the calibration of a model without probabilities is wanted.

        Examples
        --------
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> from sklearn.linear_model import LogisticRegression
        >>> X, y = [[1], [2], [5], [6]], [0, 1, 0, 1]
        >>> model = LogisticRegression().fit(X, y)
        >>> display = Display.from_estimator(model, X, y, plot="precision_recall")
        >>> display.ax.get_legend().get_texts()[0].get_text()
        'LogisticRegression: AP 0.833'
        """
        _check_plot(plot, bins, name)
        if plot == "calibration" and not hasattr(model, "predict_proba"):
            raise ArgumentError(
                "`model` must have predict_proba for plot='calibration'; "
                f"{type(model).__name__} has not. Calibrate it first, as with scikit-learn's "
                "CalibratedClassifierCV."
            )
        scored = score_classifier(model, X, pos_label)
        if name is None and plot in _WITH_LEGEND:
            name = type(model).__name__
        return cls.from_predictions(
            mark_fraud(y, scored.pos_label, scored.classes),
            scored.scores,
            plot=plot,
            threshold=threshold,
            sample_weight=sample_weight,
            bins=bins,
            name=name,
            ax=ax,
            title=title,
        )

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


def draw(function: str, result: object, *arguments: Any, **options: Any) -> Display:
    """Draw a result with a function of :mod:`synfin_analytics.plots`.

    Parameters
    ----------
    function
        Name of the function, such as ``"plot_roc"``.
    result
        What to draw.
    arguments, options
        Further arguments of the function.
    """
    display: Display = plot_function(function)(result, *arguments, **options)
    return display


def _not_pickled(ax: Axes | None) -> Display:  # noqa: ARG001 - the signature of what draws
    raise ArgumentError(
        "A plot that was pickled cannot be drawn again: use its figure (.ax.figure), or plot the "
        "result again."
    )


def _check_plot(plot: str, bins: int | None, name: str | None) -> None:
    """Raise an ArgumentError for an unknown plot, or an argument of another one."""
    if plot not in _PLOTS:
        *others, last = map(repr, _PLOTS)
        raise argument_error("plot", f"{', '.join(others)} or {last}", plot)
    if bins is not None and plot != "calibration":
        raise argument_error("bins", f"None for plot={plot!r}, which has none", bins)
    if name is not None and plot not in _WITH_LEGEND:
        raise argument_error("name", f"None for plot={plot!r}, which names no model", name)
