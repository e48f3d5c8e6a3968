"""Which points of a curve an explorer needs, so that all its pictures look as if it had all."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.metrics.curve import row_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from synfin_analytics._core.types import Floats

    Indices = NDArray[np.intp]
    #: A line: the place of each point along both axes, as shares of their lengths. The first does
    #: not decrease; the second is NaN where it is not defined.
    Line = tuple[Floats, Floats]
    ReadLines = Callable[[Indices], Sequence[Line]]

#: Columns that candidates are chosen in: in each, the lowest and the highest point of a line.
_COLUMNS = 4000
#: Columns to both sides in which a point may be drawn.
_NEAR = 2


def thin_lines(
    read: ReadLines, size: int, max_points: int, tolerance: float
) -> tuple[Indices, float]:
    """Choose points that all lines share, and return how far the drawn lines then are from them.

    The point that is farthest from a drawn line is added until none is farther than the tolerance,
    or there are as many as allowed (Ramer, 1972; Douglas and Peucker, 1973). In a line of many
    points, only the ends and the extremes of narrow columns are candidates. Points are read in
    blocks, so that memory does not depend on their number.

    Parameters
    ----------
    read
        Returns the lines at some points.
    size
        Number of points.
    max_points
        Number of points to choose at most.
    tolerance
        Distance that a line may have from what is drawn, as a share of its axes.

    Returns
    -------
    points, distance
        Indices of the points, and the largest distance.

    Examples
    --------
    >>> x = np.linspace(0, 1, 10_001)
    >>> points, distance = thin_lines(lambda rows: [(x[rows], x[rows] ** 2)], 10_001, 1000, 0.001)
    >>> len(points), distance < 0.001
    (30, True)
    """
    if size <= max_points:
        return np.arange(size), 0.0
    candidates = np.unique(
        np.concatenate(
            [[0, size - 1], *(rows[_candidates(read(rows))] for rows in row_blocks(size))]
        )
    )
    # Half of the tolerance is for what lies between the candidates.
    chosen = _add_farthest(read(candidates), max_points, tolerance / 2)
    points = candidates[chosen]
    return points, distance_from_drawn(read, size, points)


def distance_from_drawn(read: ReadLines, size: int, points: Indices) -> float:
    """Return the distance that no point of a line exceeds from what is drawn through some points.

    A drawn line covers, in each narrow column that it crosses, all heights between its lowest and
    its highest. They are compared with the points of that column and of the columns near it.
    """
    covered = []
    for x, y in read(points):
        drawn = ~np.isnan(y)
        covered.append(_covered_heights(x[drawn], y[drawn]) if drawn.any() else None)
    distance = 0.0
    for rows in row_blocks(size):
        for (x, y), heights in zip(read(rows), covered, strict=True):
            defined = ~np.isnan(y)
            x, y = x[defined], y[defined]
            if not len(y):
                continue
            if heights is None:
                return float("inf")
            low, high = heights
            column = _columns(x)
            beyond = np.maximum(low[column] - y, y - high[column]).max()
            distance = max(distance, float(np.hypot((_NEAR + 1) / _COLUMNS, max(beyond, 0.0))))
    return distance


def _covered_heights(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return the lowest and the highest point of a drawn line in or near each column."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    edges = np.arange(_COLUMNS + 1) / _COLUMNS
    low, high = np.full(_COLUMNS, np.inf), np.full(_COLUMNS, -np.inf)
    crossing = np.interp(edges, x, y, left=np.nan, right=np.nan)
    for column, heights in (
        (_columns(x), y),
        (np.arange(_COLUMNS), crossing[:-1]),
        (np.arange(_COLUMNS), crossing[1:]),
    ):
        np.fmin.at(low, column, heights)
        np.fmax.at(high, column, heights)
    return minimum_filter1d(low, 2 * _NEAR + 1), maximum_filter1d(high, 2 * _NEAR + 1)


def _columns(x: Floats) -> Indices:
    return np.minimum((x * _COLUMNS).astype(np.intp), _COLUMNS - 1)


def _candidates(lines: Sequence[Line]) -> Indices:
    """Return the first, last, lowest and highest point of each column of each line."""
    kept = []
    for x, y in lines:
        column = _columns(x)
        starts = np.flatnonzero(np.append(True, column[1:] != column[:-1]))
        kept += [starts, np.append(starts[1:], len(x)) - 1]
        for values in (y, -y):
            filled = np.where(np.isnan(values), np.inf, values)
            lowest = np.minimum.reduceat(filled, starts)
            place = np.cumsum(np.append(False, column[1:] != column[:-1]))
            matching = np.flatnonzero(filled == lowest[place])
            kept.append(matching[np.unique(place[matching], return_index=True)[1]])
    return np.unique(np.concatenate(kept))


def _add_farthest(lines: Sequence[Line], max_points: int, tolerance: float) -> Indices:
    """Choose points one after the other, each the farthest from what is drawn so far."""
    last = len(lines[0][0]) - 1
    chosen = [0, last]
    waiting = list(_farthest(lines, 0, last, tolerance))
    while waiting and len(chosen) < max_points:
        _, first, point, last = heapq.heappop(waiting)
        chosen.append(point)
        for part in ((first, point), (point, last)):
            for entry in _farthest(lines, *part, tolerance):
                heapq.heappush(waiting, entry)
    return np.sort(np.array(chosen, np.intp))


def _farthest(
    lines: Sequence[Line], first: int, last: int, tolerance: float
) -> Iterator[tuple[float, int, int, int]]:
    """Yield the point between two others that is farthest from a line, if it is too far."""
    if last - first < 2:
        return
    between = slice(first + 1, last)
    distances = np.max(
        [
            _distances(x[between], y[between], x[first], y[first], x[last], y[last])
            for x, y in lines
        ],
        axis=0,
    )
    place = int(distances.argmax())
    if distances[place] > tolerance:
        yield -float(distances[place]), first, first + 1 + place, last


def _distances(
    x: Floats,
    y: Floats,
    x_first: Floats | float,
    y_first: Floats | float,
    x_last: Floats | float,
    y_last: Floats | float,
) -> Floats:
    """Return the distances of points from the straight line between two others.

    Where an end is not defined, nothing is drawn, and any defined point is too far.
    """
    width, height = np.subtract(x_last, x_first), np.subtract(y_last, y_first)
    length = width**2 + height**2
    along = np.divide(
        (x - x_first) * width + (y - y_first) * height,
        length,
        out=np.zeros(np.broadcast(x, length).shape),
        where=length > 0,
    )
    along = np.clip(along, 0, 1)
    distances = np.hypot(x - x_first - along * width, y - y_first - along * height)
    undefined = np.where(np.isnan(y), 0.0, np.inf)
    return np.where(np.isnan(distances), undefined, distances)
