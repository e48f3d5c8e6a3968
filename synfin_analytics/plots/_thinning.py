"""Which points of a long line are drawn, so that the plot looks as if all of them were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from synfin_analytics._core.types import Floats
    from synfin_analytics.metrics.evaluation import Evaluation


#: How far a drawn line may be from the whole one: a share of the value, within these shares of the
#: axis (less than half a pixel and, where the line is near 0, still in proportion).
_VALUE_TOLERANCE, _MIN_TOLERANCE, _MAX_TOLERANCE = 0.02, 0.0005, 0.004
#: Values beyond the axis are cut off: a share of the value is enough there.
_BEYOND_TOLERANCE = 0.01
#: A line of at most this many points is drawn in full.
_MIN_POINTS = 500


def thin_points(
    lines: Sequence[Floats], axes: Sequence[float], keep: Sequence[int] = ()
) -> NDArray[np.intp]:
    """Return the points to draw of lines that share their points.

    A point is kept where a line has moved away from the last kept point by more than a small
    tolerance, so a step line through the kept points is never further off than that.

    Parameters
    ----------
    lines
        Values of each line, point by point; NaN where it is not defined.
    axes
        Length of the axis that each line is drawn against.
    keep
        Points to keep in any case, besides the first and the last.

    Examples
    --------
    >>> line = np.linspace(0, 1, 100_001)
    >>> points = thin_points([line], [1.0], keep=[777])
    >>> len(points) < 500 and 777 in points
    True
    >>> drawn = line[points[np.searchsorted(points, np.arange(100_001), side="right") - 1]]
    >>> bool(np.abs(drawn - line).max() <= 0.005)
    True
    """
    size = len(lines[0])
    if size <= _MIN_POINTS:
        return np.arange(size)
    values = np.stack([np.nan_to_num(np.asarray(line, np.float64), nan=-axis)
                       for line, axis in zip(lines, axes, strict=True)])  # fmt: skip
    lengths = np.asarray(axes, np.float64)[:, None]
    tolerance = np.clip(
        _VALUE_TOLERANCE * np.abs(values), _MIN_TOLERANCE * lengths, _MAX_TOLERANCE * lengths
    )
    tolerance = np.where(values > lengths, _BEYOND_TOLERANCE * values, tolerance)
    kept, point = [0, size - 1, *keep], 0
    while (point := _next_moved(values, tolerance[:, point, None], point)) < size:
        kept.append(point)
    return np.unique(np.asarray(kept, np.intp))


def thin_curve(
    evaluation: Evaluation, curve: pd.DataFrame, lines: Sequence[Floats], axes: Sequence[float]
) -> pd.DataFrame:
    """Return the rows of a curve to draw, the one of the threshold in use among them."""
    in_use = int((curve["threshold"] >= float(evaluation.threshold)).sum()) - 1
    return curve.loc[thin_points(lines, axes, [in_use])].reset_index(drop=True)


def _next_moved(values: Floats, tolerance: Floats, point: int) -> int:
    """Return the next point at which a line has moved, searching in growing blocks."""
    start, width = point + 1, 64
    while start < values.shape[1]:
        block = values[:, start : start + width]
        moved = np.flatnonzero(np.any(np.abs(block - values[:, point, None]) > tolerance, axis=0))
        if len(moved):
            return start + int(moved[0])
        start, width = start + width, 2 * width
    return start
