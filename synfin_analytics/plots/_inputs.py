"""What plots take: checks of it, texts that describe it, and the points of a long line to draw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from synfin_analytics._core.formatting import format_confidence_level, format_threshold, pluralize
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.curve import Curve, row_blocks
from synfin_analytics.plots._style import MAX_LINES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from synfin_analytics._core.types import Floats
    from synfin_analytics.metrics.evaluation import Evaluation

ResultT = TypeVar("ResultT")

#: How far a drawn line may be from the whole one: a share of the value, within these shares of the
#: axis (less than half a pixel and, where the line is near 0, still in proportion).
_VALUE_TOLERANCE, _MIN_TOLERANCE, _MAX_TOLERANCE = 0.02, 0.0005, 0.004
#: Values beyond the axis are cut off: a share of the value is enough there.
_BEYOND_TOLERANCE = 0.01
#: A line of at most this many points is drawn in full.
_MIN_POINTS = 500


def check_evaluations(evaluations: Evaluation | Mapping[str, Evaluation]) -> dict[str, Evaluation]:
    """Return evaluations by name; a single one has the name ""."""
    if not isinstance(evaluations, Mapping):
        return {"": check_evaluation(evaluations)}
    if not 1 <= len(evaluations) <= MAX_LINES:
        raise ArgumentError(
            f"`evaluations` must be 1 to {MAX_LINES} models, as many as a plot can distinguish; "
            f"got {len(evaluations)}."
        )
    return {str(name): check_evaluation(evaluation) for name, evaluation in evaluations.items()}


def check_evaluation(evaluation: object) -> Evaluation:
    """Return the evaluation; raise an ArgumentError for anything else."""
    from synfin_analytics.metrics.evaluation import Evaluation

    source = "evaluate(...), or a dict of several results by name where a plot compares models"
    return check_result(evaluation, Evaluation, "evaluation", source)


def check_result(result: object, expected: type[ResultT], name: str, source: str) -> ResultT:
    """Return the result; raise an ArgumentError unless it comes from ``source``."""
    if not isinstance(result, expected):
        raise ArgumentError(
            f"`{name}` must be the result of {source}; got {type(result).__name__}."
        )
    return result


def check_frame(
    frame: pd.DataFrame, columns: Sequence[str], name: str, must_be: str, location: str
) -> None:
    """Raise unless ``frame`` is one with these columns.

    ``must_be`` and ``location`` complete the messages for something else and a missing column.
    """
    if not hasattr(frame, "columns"):
        raise ArgumentError(f"`{name}` must be {must_be}; got {type(frame).__name__}.")
    for column in columns:
        if column not in frame:
            raise NotFoundError("column", column, frame.columns, location=location)


def explain_no_curve(evaluation: Evaluation, *, needs_genuine: bool = False) -> str:
    """Return why a curve is not defined, or ""."""
    if not evaluation.n:
        return "no labelled transactions"
    if not evaluation.n_frauds:
        return f"no fraud among {pluralize(evaluation.n, 'transaction')}"
    if needs_genuine and evaluation.n_frauds == evaluation.n:
        return f"no genuine transaction among {pluralize(evaluation.n, 'transaction')}"
    return ""


def describe_threshold(evaluation: Evaluation) -> str:
    """Return the threshold as text, and whether it was fitted on the rows it is evaluated on."""
    threshold = evaluation.threshold
    in_sample = threshold.fitted_on == evaluation.counts.fingerprint
    return f"threshold {format_threshold(threshold.value)}" + ", fitted on this data" * in_sample


def describe_intervals(*evaluations: Evaluation) -> str:
    """Return the name of the intervals, with their confidence level if all have the same."""
    levels = {evaluation.confidence_level for evaluation in evaluations}
    return f"{format_confidence_level(levels.pop())} CI" if len(levels) == 1 else "CI"


# -- Points of long lines --------------------------------------------------------------------------


class Table(Protocol):
    """A long frame of which some rows can be read without the others: a curve, or its costs."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""

    def read_rows(self, rows: NDArray[np.intp]) -> pd.DataFrame:
        """Return rows by their numbers."""


class FrameTable:
    """A frame in memory as a :class:`Table`."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame, self.n_rows = frame, len(frame)

    def read_rows(self, rows: NDArray[np.intp]) -> pd.DataFrame:
        """Return rows by their numbers."""
        return self._frame.iloc[rows]


def thin_rows(
    table: Table,
    lines: Callable[[pd.DataFrame], Sequence[Floats]],
    axes: Sequence[float],
    keep: Sequence[int] = (),
) -> pd.DataFrame:
    """Return the rows to draw of lines that share their points; all, if they are few.

    A point is kept where a line has moved away from the last kept point by more than a small
    tolerance, so a step line through the kept points is never further off than that. Rows are read
    in blocks, so that memory does not depend on their number.

    Parameters
    ----------
    table
        The rows.
    lines
        Returns the values of each line at some rows; NaN where it is not defined.
    axes
        Length of the axis that each line is drawn against.
    keep
        Numbers of rows to keep in any case, besides the first and the last.

    Examples
    --------
    >>> import pandas as pd
    >>> table = FrameTable(pd.DataFrame({"line": np.arange(100_001) / 100_000}))
    >>> drawn = thin_rows(table, lambda rows: [rows["line"].to_numpy()], [1.0], keep=[777])
    >>> len(drawn) < 500, 0.00777 in drawn["line"].tolist()
    (True, True)
    >>> bool(drawn["line"].diff().max() <= 0.005)
    True
    """
    size = table.n_rows
    if size <= _MIN_POINTS:
        return table.read_rows(np.arange(size)).reset_index(drop=True)
    lengths = np.asarray(axes, np.float64)[:, None]
    points, kept = [0, size - 1, *keep], None
    for rows in row_blocks(size):
        values = np.stack([np.nan_to_num(np.asarray(line, np.float64), nan=-axis)
                           for line, axis in zip(lines(table.read_rows(rows)), axes, strict=True)
                           ])  # fmt: skip
        kept = values[:, :1] if kept is None else kept
        place = 0
        while (place := _next_moved(values, kept, _tolerance(kept, lengths), place)) < len(rows):
            points.append(int(rows[place]))
            kept = values[:, place, None]
    return table.read_rows(np.unique(np.asarray(points, np.intp))).reset_index(drop=True)


def _tolerance(value: Floats, length: Floats) -> Floats:
    """Return how far each line may move away from its value at a point."""
    tolerance = np.clip(
        _VALUE_TOLERANCE * np.abs(value), _MIN_TOLERANCE * length, _MAX_TOLERANCE * length
    )
    return np.where(value > length, _BEYOND_TOLERANCE * value, tolerance)


def thin_curve(
    evaluation: Evaluation,
    lines: Callable[[pd.DataFrame], Sequence[Floats]],
    axes: Sequence[float],
) -> pd.DataFrame:
    """Return the rows of a curve to draw, that of the threshold in use among them."""
    curve = Curve(evaluation.counts)
    return thin_rows(curve, lines, axes, [curve.count_scores(float(evaluation.threshold))])


def _next_moved(values: Floats, kept: Floats, tolerance: Floats, start: int) -> int:
    """Return the next point at which a line has moved, searching in growing blocks."""
    width = 64
    while start < values.shape[1]:
        block = values[:, start : start + width]
        moved = np.flatnonzero(np.any(np.abs(block - kept) > tolerance, axis=0))
        if len(moved):
            return start + int(moved[0])
        start, width = start + width, 2 * width
    return start
