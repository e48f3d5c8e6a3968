"""Labels: true or false, 1 or 0, or missing. The one rule for frames of any engine and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.dataframes import to_float
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    import narwhals as nw
    from numpy.typing import NDArray


def label_to_float(dtype: nw.dtypes.DType, name: str) -> nw.Expr:
    """Select a label as a double, NULL where it is missing; its values are not checked yet.

    Raises
    ------
    ArgumentError
        The type of the column holds neither booleans nor numbers.
    """
    return to_float(dtype, name, "a label: true or false, 1 or 0")


def is_invalid_label(label: nw.Expr) -> nw.Expr:
    """Select which labels, as doubles, are neither 0, 1 nor missing.

    Examples
    --------
    >>> import narwhals as nw
    >>> import polars as pl
    >>> frame = nw.from_native(pl.DataFrame({"fraud": [0.0, 1.0, None, 2.0]}))
    >>> frame.select(is_invalid_label(nw.col("fraud")))["fraud"].to_list()
    [False, False, False, True]
    """
    filled = label.fill_null(0)
    return (filled != 0) & (filled != 1)


def check_labels(labels: NDArray[np.float64], name: str) -> None:
    """Check an array of labels; NaN is missing.

    Raises
    ------
    ArgumentError
        A label is neither 0, 1 nor missing.

    Examples
    --------
    >>> check_labels(np.array([0, 1, np.nan, 2]), "fraud")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: Column 'fraud' must be a label (true or false, 1 or
    0, or missing); 1 row holds another value.
    """
    check_n_invalid_labels(int((~np.isnan(labels) & (labels != 0) & (labels != 1)).sum()), name)


def check_n_invalid_labels(
    n_invalid: int, name: str, *, first_row: int | None = None, described: str = "Column {!r}"
) -> None:
    """Raise an ArgumentError unless the number of invalid labels is 0.

    Parameters
    ----------
    n_invalid
        Number of invalid labels.
    name, described
        Name of the column, and how the message refers to it.
    first_row
        The first of them, if it is known.
    """
    if n_invalid:
        rows = "1 row holds" if n_invalid == 1 else f"{n_invalid:,} rows hold"
        first = "" if first_row is None else f" (the first is row {first_row:,})"
        raise ArgumentError(
            f"{described.format(name)} must be a label (true or false, 1 or 0, or missing); {rows} "
            f"another value{first}."
        )
