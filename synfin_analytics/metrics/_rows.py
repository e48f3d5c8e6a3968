"""The rows behind an evaluation, for the questions that counts by score cannot answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import narwhals as nw
import numpy as np

from synfin_analytics._core.dataframes import (
    check_columns,
    coerce_object_columns,
    list_columns,
    normalize_types,
    to_numpy_float,
    to_numpy_time,
)
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._scored import DAY, aggregate_scores
from synfin_analytics.metrics._scores import COUNTED, SCORE, ScoreCounts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics.metrics._scores import Floats, Integers


class Rows(Protocol):
    """Labelled rows of a model, wherever they live.

    Each method raises an ArgumentError if the rows have changed since they were evaluated.
    """

    def by_day(self, day: str, k: int) -> nw.DataFrame[Any]:
        """Count by day (:data:`DAY`) and score; of each day at least the ``k`` highest rows."""

    def by_entity(self, day: str, entity: str) -> nw.DataFrame[Any]:
        """Count by day, ``entity`` and score."""

    def by_cluster(
        self, cluster: str, day: str | None = None, *, amount: bool = False
    ) -> nw.DataFrame[Any]:
        """Count by ``cluster`` and score, and by day where ``day`` is given.

        Without ``day``, a ``cluster`` of times is counted by its days. ``amount``: add up the
        amounts too.
        """


@dataclass(frozen=True, eq=False)
class FrameRows:
    """Rows of a frame, of any engine.

    Parameters
    ----------
    frame
        See :func:`snapshot`.
    label, score, amount
        Names of the columns.
    counts
        What was counted when the frame was evaluated.
    """

    frame: Any
    label: str
    score: str
    amount: str | None
    counts: ScoreCounts

    def by_day(self, day: str, k: int) -> nw.DataFrame[Any]:  # noqa: ARG002 - all are at hand
        """Count by day and score."""
        return self._counted([], day)

    def by_entity(self, day: str, entity: str) -> nw.DataFrame[Any]:
        """Count by day, entity and score."""
        return self._counted([entity], day)

    def by_cluster(
        self, cluster: str, day: str | None = None, *, amount: bool = False
    ) -> nw.DataFrame[Any]:
        """Count by cluster and score, or by day and score."""
        if day is None and self._is_time(cluster):
            return self._counted([], cluster, amount=amount)
        return self._counted([cluster], day, amount=amount)

    def _counted(
        self, keys: list[str], day: str | None = None, *, amount: bool = False
    ) -> nw.DataFrame[Any]:
        self._refuse_left_behind()
        column = self.amount if amount else None
        try:
            counts = aggregate_scores(self.frame, keys, self.label, self.score, column, day=day)
        except (nw.exceptions.NarwhalsError, OSError) as error:
            raise ArgumentError(
                "The frame must still hold the rows that were evaluated; reading it again failed "
                f"with {type(error).__name__}. Call evaluate again."
            ) from error
        counts = counts.filter(nw.col(COUNTED[0]) > 0)
        if not self.counts.same_as(ScoreCounts.of_frame(counts)):
            raise ArgumentError(
                "The frame must still hold the rows that were evaluated; got other scores, labels "
                "or amounts. Call evaluate again."
            )
        return counts

    def _is_time(self, name: str) -> bool:
        self._refuse_left_behind()
        if nw.dependencies.is_dask_dataframe(self.frame):
            return name in self.frame and self.frame[name].dtype.kind == "M"
        frame = nw.from_native(self.frame)
        check_columns([name], list_columns(frame))
        if isinstance(frame, nw.DataFrame):
            frame = coerce_object_columns(normalize_types(frame.select(name)), [name])
        schema = frame.collect_schema()
        return isinstance(schema[name], nw.Datetime) or schema[name] == nw.Date

    def _refuse_left_behind(self) -> None:
        if self.frame is None:
            raise ArgumentError(LEFT_BEHIND)

    def __deepcopy__(self, memo: dict[int, Any]) -> FrameRows:
        return self  # nothing changes it

    def __getstate__(self) -> dict[str, Any]:
        """Leave a lazy frame behind: its engine, connection or files may not be there later."""
        state = dict(self.__dict__)
        if not isinstance(nw.from_native(self.frame, pass_through=True), nw.DataFrame):
            state["frame"] = None
        return state


#: Why an evaluation that was pickled has counts alone.
LEFT_BEHIND = (
    "This evaluation was pickled, and its rows, a lazy frame or a database, were left behind: its "
    "metrics and curves are complete, but days, cards and clusters are not known. Call evaluate "
    "again where the rows are."
)


def snapshot(frame: Any) -> Any:
    """Return the frame as it is now, whatever is assigned to it later; no row is copied.

    pandas copies a column when it is written to, and polars never changes a column. What cannot
    be kept, as the files of a lazy frame or NumPy's memory below a frame, is compared with what
    was counted whenever it is read again.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"p": [0.5, 0.5]})
    >>> kept = snapshot(frame)
    >>> frame.loc[0, "p"] = 0.9
    >>> kept["p"].tolist()
    [0.5, 0.5]
    """
    frame = nw.to_native(frame, pass_through=True)
    if nw.dependencies.is_pandas_dataframe(frame):
        return frame.copy(deep=False)
    if nw.dependencies.is_dask_dataframe(frame):
        return frame.copy()
    if nw.dependencies.is_polars_dataframe(frame) or nw.dependencies.is_polars_lazyframe(frame):
        return frame.clone()
    return frame


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts as NumPy has them."""

    score: Floats
    transactions: Integers
    frauds: Integers
    fraud_amount: Floats | None = None

    @classmethod
    def of(cls, counts: nw.DataFrame[Any]) -> Counts:
        """Take them out of a frame."""
        transactions, frauds = (
            to_numpy_float(counts[name]).astype(np.int64) for name in COUNTED[:2]
        )
        amount = to_numpy_float(counts[COUNTED[3]]) if COUNTED[3] in counts.columns else None
        return cls(to_numpy_float(counts[SCORE]), transactions, frauds, amount)


def days_of(counts: nw.DataFrame[Any]) -> NDArray[np.datetime64]:
    """Days of counts."""
    if counts[DAY].is_null().any():
        raise ArgumentError(
            "The column of days must have a time in each labelled row; got missing ones. Fill or "
            "drop these rows."
        )
    return to_numpy_time(counts[DAY]).astype("datetime64[D]")


def codes(counts: nw.DataFrame[Any], name: str) -> NDArray[Any]:
    """Names of cards or clusters, as NumPy can sort them."""
    values = counts[name]
    if values.is_null().any():
        raise ArgumentError(
            f"Column {name!r} must have a value in each labelled row; got missing ones. Fill or "
            "drop these rows."
        )
    if values.dtype.is_numeric():
        found: NDArray[Any] = values.to_numpy()
        return found
    return np.array([str(one) for one in values.to_list()], dtype=np.str_)


def highest_by_entity(
    counts: nw.DataFrame[Any], entity: str
) -> tuple[NDArray[np.datetime64], NDArray[Any], Floats, NDArray[np.bool_]]:
    """Day, card, highest score and whether there was fraud, of each card on each day."""
    days, cards, found = days_of(counts), codes(counts, entity), Counts.of(counts)
    _, code = np.unique(cards, return_inverse=True)
    order = np.lexsort((-found.score, code, days))
    days, cards, code = days[order], cards[order], code[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (code[1:] != code[:-1]) | (days[1:] != days[:-1])
    starts = np.flatnonzero(first)
    frauds = np.add.reduceat(found.frauds[order], starts) if len(starts) else found.frauds
    return days[first], cards[first], found.score[order][first], frauds > 0
