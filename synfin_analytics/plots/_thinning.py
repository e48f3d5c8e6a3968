"""Which points of a long line are drawn, so that the picture is that of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from synfin_analytics.plots.style import Floats

#: How far a drawn line may be from the whole one: a share of the value, within these shares of the
#: axis (less than half a pixel and, where the line is near 0, still in proportion).
_OF_VALUE, _LEAST, _MOST = 0.02, 0.0005, 0.004
#: Values beyond the axis are cut off: there a share of the value is enough.
_BEYOND = 0.01
#: So many points are all drawn.
_FEW = 500


def thinned(
    lines: Sequence[Floats], axes: Sequence[float], keep: Sequence[int] = ()
) -> NDArray[np.intp]:
    """Choose points of lines that share their points, so that each line looks the same.

    A point is kept where a line has moved away from the last kept point by more than a small
    tolerance, so a line of steps through the kept points is nowhere further off than that.

    Parameters
    ----------
    lines
        Values of each line, point by point; NaN where it is not defined.
    axes
        Length of the axis that each line is drawn against.
    keep
        Points that are kept in any case, beside the first and the last.

    Examples
    --------
    >>> rising = np.linspace(0, 1, 100_001)
    >>> points = thinned([rising], [1.0], keep=[777])
    >>> len(points) < 500 and 777 in points
    True
    >>> drawn = rising[points[np.searchsorted(points, np.arange(100_001), side="right") - 1]]
    >>> bool(np.abs(drawn - rising).max() <= 0.005)
    True
    """
    if len(lines[0]) <= _FEW:
        return np.arange(len(lines[0]))
    values = np.stack([np.nan_to_num(np.asarray(line, np.float64), nan=-axis)
                       for line, axis in zip(lines, axes, strict=True)])  # fmt: skip
    lengths = np.asarray(axes, np.float64)[:, None]
    tolerance = np.clip(_OF_VALUE * np.abs(values), _LEAST * lengths, _MOST * lengths)
    tolerance = np.where(values > lengths, _BEYOND * values, tolerance)
    size = values.shape[1]
    kept, at = [0, size - 1, *keep], 0
    while (at := _next(values, tolerance[:, at, None], at)) < size:
        kept.append(at)
    return np.unique(np.asarray(kept, np.intp))


def _next(values: Floats, tolerance: Floats, at: int) -> int:
    """Find the next point at which a line has moved; in parts, for it is mostly near."""
    start, width = at + 1, 64
    while start < values.shape[1]:
        part = values[:, start : start + width]
        moved = np.any(np.abs(part - values[:, at, None]) > tolerance, axis=0)
        places = np.flatnonzero(moved)
        if len(places):
            return start + int(places[0])
        start, width = start + width, 2 * width
    return start
