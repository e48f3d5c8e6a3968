"""Detectors on PySpark and Dask: by customer, then by merchant, on the workers.

Each worker runs the code of one machine on all rows of some customers, or on all candidates at some
merchants. Only what is found there comes to this process. Row numbers mean nothing outside of their
context, so what leaves one has the transactions themselves.
"""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl
import pyarrow as pa

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.database.models import Transaction
from synfin_analytics.detection._context import (
    OPTIONAL_COLUMNS,
    REPEATED_ID,
    REQUIRED_COLUMNS,
    DetectionContext,
)
from synfin_analytics.detection.detector import NO_ROW, CrossCustomerDetector
from synfin_analytics.detection.result import join_transactions
from synfin_analytics.exceptions import Problem
from synfin_analytics.io.coerce import check_cells, coerce_columns, raise_problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from synfin_analytics._core.distributed import DistributedFrame
    from synfin_analytics.detection.detector import Detector

_ID = "transaction_id"
_COLUMNS = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
#: Cells of a column that have a value (no reason), or that are invalid for a reason.
_CELLS = pa.schema(
    [("column", pa.large_string()), ("reason", pa.large_string()), ("cells", pa.int64())]
)
#: A frame of the detector of this name, as Arrow's stream.
_FRAMES = pa.schema([("detector", pa.large_string()), ("frame", pa.binary())])
#: The rows of a candidate, and what precedes the names of their columns.
_PREFIXES = {"row": "row_", "other": "other_"}
#: Types of columns that are not text.
_TYPES = {"amount": pa.float64(), "timestamp": pa.timestamp("us", "UTC")}


@dataclasses.dataclass(frozen=True)
class DistributedTransactions:
    """Transactions on PySpark or Dask.

    Parameters
    ----------
    rows
        The frame of the engine.
    available_columns
        Optional columns with a value in at least one row.
    """

    rows: DistributedFrame
    available_columns: frozenset[str]

    @classmethod
    def from_frame(cls, df: DistributedFrame) -> DistributedTransactions:
        """Check all cells where they are, and that no id repeats.

        Raises
        ------
        NotFoundError
            A required column is missing.
        ArgumentError
            A cell is missing or invalid, a transaction is repeated, or the time zone is not UTC.
        """
        df.require(REQUIRED_COLUMNS, "the transactions")
        df.check_time("timestamp", "in which patterns are detected")
        rows = df.select([name for name in _COLUMNS if name in df.columns])
        cells = rows.map_partitions(_count_cells, _CELLS).map_groups("column", _add_cells, _CELLS)
        n_values = _check(cells)
        _check(rows.select([_ID]).map_groups(_ID, _count_repeated, _CELLS))
        return cls(rows, frozenset(name for name in OPTIONAL_COLUMNS if n_values.get(name)))

    def find(self, detectors: Sequence[Detector]) -> dict[Detector, pl.DataFrame]:
        """Return what each detector finds, as :func:`join_transactions` does."""
        context = DetectionContext.from_rows(_coerce([], _COLUMNS), self.available_columns)
        frames = self._run_first_steps(detectors)
        totals = {
            detector: _add_up(detector, context, frames.get(detector.name, []))
            for detector in detectors
            if isinstance(detector, CrossCustomerDetector)
        }
        candidates = self._reduce(totals)
        found = {}
        for detector in detectors:
            if isinstance(detector, CrossCustomerDetector):
                rows = self._combine(detector, context, candidates.get(detector.name, []))
            else:
                nothing = join_transactions(context, detector.find(context))
                rows = _number_episodes([nothing, *frames.get(detector.name, [])])
            found[detector] = rows
        return found

    def _run_first_steps(self, detectors: Sequence[Detector]) -> dict[str, list[pl.DataFrame]]:
        """Find what depends on one key alone, and count candidates where totals are needed."""
        groups: dict[str, list[Detector]] = {}
        for detector in detectors:
            if not isinstance(detector, CrossCustomerDetector) or detector.has_totals:
                groups.setdefault(detector.keys[0], []).append(detector)
        frames: dict[str, list[pl.DataFrame]] = {}
        for key, group in groups.items():
            step = _FirstStep(tuple(group), self.available_columns)
            frames |= _collect_frames(self.rows.map_groups(key, step, _FRAMES))
        return frames

    def _reduce(
        self, totals: Mapping[CrossCustomerDetector, Mapping[str, int]]
    ) -> dict[str, list[pl.DataFrame]]:
        """Select candidates by the first key of their detectors, and reduce them by the second."""
        groups: dict[tuple[str, ...], list[CrossCustomerDetector]] = {}
        for detector in totals:
            groups.setdefault(detector.keys, []).append(detector)
        frames: dict[str, list[pl.DataFrame]] = {}
        for (first, second), group in groups.items():
            selection = _Selection(tuple(group), self.available_columns)
            of_group = {detector.name: dict(totals[detector]) for detector in group}
            reduction = _Reduction(tuple(group), self.available_columns, of_group)
            selected = self.rows.map_groups(first, selection, selection.schema)
            reduced = selected.map_groups(_PREFIXES["row"] + second, reduction, _FRAMES)
            frames |= _collect_frames(reduced)
        return frames

    def _combine(
        self,
        detector: CrossCustomerDetector,
        context: DetectionContext,
        frames: Sequence[pl.DataFrame],
    ) -> pl.DataFrame:
        """Form the episodes of the reduced candidates of all merchants, starting from none."""
        if not frames:
            return join_transactions(context, detector.find(context))
        columns = (*REQUIRED_COLUMNS, *detector.later_columns)
        reduced = nw.from_native(pl.concat(frames), eager_only=True)
        context, candidates = _number_rows(reduced, columns, self.available_columns)
        return join_transactions(context, detector.combine(context, candidates))


# -- On the workers --------------------------------------------------------------------------------


def _count_cells(rows: Any) -> pa.Table:
    """Count the cells of some rows that have a value, and those that are invalid."""
    frame, problems = check_cells(nw.from_native(rows, eager_only=True), Transaction, _COLUMNS)
    values = [(name, None, frame[name].count()) for name in OPTIONAL_COLUMNS]
    invalid = [(problem.column, problem.reason, problem.count) for problem in problems]
    return _to_cells([*values, *invalid])


def _add_cells(rows: Any) -> pa.Table:
    """Add up such counts of all rows."""
    counts = nw.from_native(rows, eager_only=True)
    by_reason = counts.group_by("column", "reason").agg(nw.col("cells").sum())
    return by_reason.to_arrow()


def _count_repeated(rows: Any) -> pa.Table:
    """Count the rows whose id an earlier row has."""
    ids = _coerce(rows, [_ID])[_ID]
    n_repeated = len(ids) - ids.n_unique()
    return _to_cells([(_ID, REPEATED_ID, n_repeated)] if n_repeated else [])


def _to_cells(counts: Sequence[tuple[str, str | None, int]]) -> pa.Table:
    columns = zip(*counts, strict=True) if counts else ([], [], [])
    return pa.table([*map(list, columns)], schema=_CELLS)


@dataclasses.dataclass(frozen=True)
class _Step:
    """What workers do with the rows of some customers or merchants, without these."""

    detectors: tuple[Detector, ...]
    available_columns: frozenset[str]

    def _context(self, rows: Any) -> DetectionContext:
        return DetectionContext.from_rows(_coerce(rows, _COLUMNS), self.available_columns)


@dataclasses.dataclass(frozen=True)
class _FirstStep(_Step):
    """Find what depends on one key alone, and count candidates."""

    def __call__(self, rows: Any) -> pa.Table:
        context, frames = self._context(rows), {}
        for detector in self.detectors:
            if isinstance(detector, CrossCustomerDetector):
                frame = pl.DataFrame([detector.count(detector.select(context))])
            else:
                frame = join_transactions(context, detector.find(context))
            frames[detector.name] = frame
        return _to_frames(frames)


@dataclasses.dataclass(frozen=True)
class _Selection(_Step):
    """Select the candidates of detectors across customers."""

    detectors: tuple[CrossCustomerDetector, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the rows of candidates."""
        later = dict.fromkeys(name for each in self.detectors for name in each.later_columns)
        return (*REQUIRED_COLUMNS, *later)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the result."""
        fields = [
            (prefix + name, _TYPES.get(name, pa.large_string()))
            for prefix in _PREFIXES.values()
            for name in self.columns
        ]
        return pa.schema([("detector", pa.large_string()), *fields])

    def __call__(self, rows: Any) -> pa.Table:
        context = self._context(rows)
        frames = [
            _join_rows(context, detector.select(context), self.columns).with_columns(
                detector=pl.lit(detector.name)
            )
            for detector in self.detectors
        ]
        return pl.concat(frames).to_arrow()


@dataclasses.dataclass(frozen=True)
class _Reduction(_Selection):
    """Reduce the candidates at some merchants."""

    totals: dict[str, dict[str, int]]

    def __call__(self, rows: Any) -> pa.Table:
        candidates = nw.from_native(rows, eager_only=True)
        frames = {}
        for detector in self.detectors:
            own = candidates.filter(nw.col("detector") == detector.name).drop("detector")
            context, numbered = _number_rows(own, self.columns, self.available_columns)
            reduced = detector.reduce(context, numbered, self.totals[detector.name])
            columns = (*REQUIRED_COLUMNS, *detector.later_columns)
            frames[detector.name] = _join_rows(context, reduced, columns)
        return _to_frames(frames)


def _coerce(rows: Any, columns: Sequence[str]) -> pl.DataFrame:
    """Read columns, of rows that have been checked."""
    frame = nw.from_native(rows if len(rows) else pl.DataFrame(), eager_only=True)
    return coerce_columns(frame, Transaction, columns)


# -- Rows between contexts -------------------------------------------------------------------------


def _join_rows(
    context: DetectionContext, candidates: pl.DataFrame, columns: Sequence[str]
) -> pl.DataFrame:
    """Replace the row numbers of candidates by columns of the rows, NULL where there is none."""
    transactions, parts = context.frame.select(columns), [candidates.drop(_PREFIXES)]
    for name, prefix in _PREFIXES.items():
        numbers = candidates.select(pl.col(name).replace(NO_ROW, None)).to_series()
        rows = transactions.select(pl.all().gather(numbers))
        parts.append(rows.rename({column: prefix + column for column in columns}))
    return pl.concat(parts, how="horizontal")


def _number_rows(
    candidates: nw.DataFrame[Any], columns: Sequence[str], available_columns: frozenset[str]
) -> tuple[DetectionContext, pl.DataFrame]:
    """Return the rows of candidates as a context, and the candidates with their numbers in it."""
    parts = []
    for prefix in _PREFIXES.values():
        names = {prefix + name: name for name in columns}
        rows = candidates.select(*names).rename(names).filter(~nw.col(_ID).is_null())
        parts.append(coerce_columns(rows, Transaction, columns))
    context = DetectionContext.from_rows(pl.concat(parts).unique(_ID), available_columns)
    numbers = context.frame.select(_ID, pl.int_range(pl.len()).alias("number"))
    numbered = {}
    for name, prefix in _PREFIXES.items():
        ids = pl.DataFrame({_ID: candidates[prefix + _ID].to_arrow()}, {_ID: pl.String})
        found = ids.join(numbers, on=_ID, how="left", maintain_order="left")["number"]
        numbered[name] = found.fill_null(NO_ROW)
    prefixes = tuple(_PREFIXES.values())
    others = [name for name in candidates.columns if not name.startswith(prefixes)]
    values = {name: pl.Series(name, candidates[name].to_arrow()) for name in others}
    return context, pl.DataFrame(numbered | values).sort("row", "other")


def _number_episodes(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Join episodes that were numbered in contexts of their own."""
    joined, n_episodes = [], 0
    for frame in frames:
        joined.append(frame.with_columns(pl.col("episode") + n_episodes))
        n_episodes += 1 + max(frame["episode"], default=-1)
    return pl.concat(joined)


def _add_up(
    detector: CrossCustomerDetector, context: DetectionContext, frames: Sequence[pl.DataFrame]
) -> dict[str, int]:
    """Add up the counts of all workers to those of a context without rows."""
    counts = detector.count(detector.select(context))
    return {
        name: count + sum(int(frame[name].sum()) for frame in frames)
        for name, count in counts.items()
    }


# -- To this process -------------------------------------------------------------------------------


def _to_frames(frames: Mapping[str, pl.DataFrame]) -> pa.Table:
    nonempty = {name: frame for name, frame in frames.items() if len(frame)}
    streams = [io.BytesIO() for _ in nonempty]
    for stream, frame in zip(streams, nonempty.values(), strict=True):
        frame.write_ipc_stream(stream)
    contents = [stream.getvalue() for stream in streams]
    return pa.table({"detector": [*nonempty], "frame": contents}, _FRAMES)


def _collect_frames(df: DistributedFrame) -> dict[str, list[pl.DataFrame]]:
    frames: dict[str, list[pl.DataFrame]] = {}
    for row in df.to_arrow().to_pylist():
        frames.setdefault(row["detector"], []).append(pl.read_ipc_stream(row["frame"]))
    return frames


def _check(cells: DistributedFrame) -> dict[str, int]:
    """Raise an ArgumentError if cells are invalid, and return how many of each column are not."""
    counts = pl.DataFrame(cells.to_arrow()).group_by("column", "reason").agg(pl.col("cells").sum())
    order = pl.col("column").replace_strict({name: n for n, name in enumerate(_COLUMNS)})
    invalid = counts.filter(pl.col("reason").is_not_null()).sort(order, "reason")
    if len(invalid):
        problems = [
            Problem(column, f"{reason}: {pluralize(count, 'row')}", count)
            for column, reason, count in invalid.iter_rows()
        ]
        raise_problems("transactions", problems)
    return dict(counts.select("column", "cells").iter_rows())
