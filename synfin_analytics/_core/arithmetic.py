"""Arithmetic that several floors share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Divide; a rate of nothing (0/0) is NaN, never 0.

    Parameters
    ----------
    numerator, denominator
        Numbers or arrays.

    Returns
    -------
    numpy.ndarray
        The quotient, NaN where the denominator is 0.

    Examples
    --------
    >>> ratio([3, 0], [40, 0])
    array([0.075,   nan])
    """
    denominator = np.asarray(denominator, dtype=np.float64)
    # The placeholder divisor only avoids a warning of NumPy; its quotient is not returned.
    quotient = np.asarray(numerator, dtype=np.float64) / np.where(denominator == 0, 1, denominator)
    return np.where(denominator == 0, np.nan, quotient)
