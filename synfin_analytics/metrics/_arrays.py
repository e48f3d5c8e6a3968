"""Labels and scores as arrays, as scikit-learn takes them: ``evaluate(y_true, y_score)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import narwhals as nw
import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import format_value
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SupportsArray(Protocol):
    """An array of NumPy, a Series of pandas or polars, a tensor: what NumPy can read."""

    def __array__(self) -> NDArray[Any]:
        """Return it as an array of NumPy."""


#: NumPy's type of the same name has strings, too.
ArrayLike: TypeAlias = SupportsArray | list[Any] | tuple[Any, ...] | range

#: Columns of the frame that :func:`frame_of_arrays` makes.
LABEL, SCORE, AMOUNT = "y_true", "y_score", "amount"
_GROUP = "group"
_CALLS = "evaluate(y_true, y_score) or evaluate(df, label='is_fraud', score='p')"


def frame_of_arrays(
    y_true: Any, y_score: Any, amount: Any = None, by: Any = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Put arrays into one frame, by position.

    Parameters
    ----------
    y_true, y_score, amount
        Array-likes; ``amount`` may be None.
    by
        Groups: an array-like, a dict of array-likes by name, or None.

    Returns
    -------
    tuple
        The frame, with columns :data:`LABEL`, :data:`SCORE` and :data:`AMOUNT`, and the names of
        the groups' columns.

    Raises
    ------
    ArgumentError
        An argument is not one-dimensional, or they differ in length.

    Examples
    --------
    >>> frame, by = frame_of_arrays([0, 1], [0.2, 0.9], by=["online", "atm"])
    >>> frame.columns.tolist(), by
    (['y_true', 'y_score', 'group'], ('group',))
    """
    groups = {}
    if isinstance(by, Mapping):
        groups = {str(name): _to_series(values, f"by[{name!r}]") for name, values in by.items()}
    elif by is not None:
        groups = {str(getattr(by, "name", None) or _GROUP): _to_series(by, "by")}
    columns = {LABEL: _to_series(y_true, LABEL), SCORE: _to_series(y_score, SCORE)}
    if amount is not None:
        columns[AMOUNT] = _to_series(amount, AMOUNT)
    if taken := [name for name in groups if name in columns]:
        raise ArgumentError(f"`by` must have other names than {taken[0]!r}.")
    n = len(columns[LABEL])
    for name, column in (columns | groups).items():
        if len(column) != n:
            raise ArgumentError(
                f"`{LABEL}` and `{'by' if name in groups else name}` must have the same length; "
                f"got {n:,} and {len(column):,}."
            )
    return pd.DataFrame(columns | groups), tuple(groups)


def check_order(frame: pd.DataFrame) -> None:
    """Raise an ArgumentError if labels and scores look swapped."""
    try:
        labels, scores = (
            frame[name].dropna().to_numpy(dtype=np.float64) for name in (LABEL, SCORE)
        )
    except (TypeError, ValueError):
        return
    if np.isin(scores, (0, 1)).all() and not np.isin(labels, (0, 1)).all():
        raise ArgumentError(
            f"`{LABEL}` must be labels (0 or 1) and come before `{SCORE}`; got scores first. Call "
            "evaluate(y_true, y_score)."
        )


def _to_series(values: Any, name: str) -> pd.Series[Any]:
    """Convert an array-like to a pandas Series with a new index."""
    if nw.dependencies.is_into_series(values):
        series: pd.Series[Any] = nw.from_native(values, series_only=True).to_pandas()
        return series.reset_index(drop=True)
    if hasattr(values, "to_pandas"):  # Arrow's arrays
        return pd.Series(values.to_pandas()).reset_index(drop=True)
    try:
        array = np.asarray(None if isinstance(values, Mapping) else values)
    except ValueError:  # lists of different lengths
        array = np.empty((0, 0))
    if array.ndim == 0:
        raise ArgumentError(
            f"`{name}` must be an array, a list or a Series; got {format_value(values)}. Call "
            f"{_CALLS}."
        )
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        hint = ""
        if name == SCORE and array.ndim == 2:
            hint = " Pass the column of the frauds, predict_proba(X)[:, 1]."
        raise ArgumentError(
            f"`{name}` must be one-dimensional; got an array of shape {array.shape}.{hint}"
        )
    return pd.Series(array)
