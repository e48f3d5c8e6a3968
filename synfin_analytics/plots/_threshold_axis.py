"""The axis of thresholds that several plots share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

#: An axis that ends beyond this score is drawn in full, from 0 to 1.
_HALF = 0.5


def axis_end(numbers: pd.DataFrame, threshold: float) -> float:
    """Return where the axis of thresholds ends: a little beyond the highest score."""
    scores = numbers["threshold"][np.isfinite(numbers["threshold"])]
    highest = max(scores.max() if len(scores) else 1.0, threshold if threshold <= 1 else 0.0)
    return 1.0 if highest > _HALF else float(1.08 * highest) or 1.0


def step_coordinates(numbers: pd.DataFrame, end: float, *columns: str) -> list[Floats]:
    """Return thresholds from 0 to ``end``, and for each column its values up to each of them.

    A score at the threshold is an alert, so a value holds up to and including its threshold.
    """
    ascending = numbers[::-1]
    thresholds = np.minimum(ascending["threshold"].to_numpy(dtype=np.float64), end)
    coordinates = [np.append(0.0, thresholds)]
    for name in columns:
        values = ascending[name].to_numpy(dtype=np.float64)
        coordinates.append(np.append(values[0], values))
    return coordinates
