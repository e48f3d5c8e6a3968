"""Arithmetic that several floors share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


def ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """Divide, where 0/0 is NaN: nothing was counted, so nothing is known.

    Examples
    --------
    >>> ratio([3, 0], [40, 0])
    array([0.075,   nan])
    """
    whole = np.asarray(whole, dtype=np.float64)
    # The placeholder divisor only keeps numpy from warning; its quotient is never shown.
    quotient = np.asarray(part, dtype=np.float64) / np.where(whole == 0, 1.0, whole)
    return np.where(whole == 0, np.nan, quotient)
