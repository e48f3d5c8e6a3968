"""The split of a lazy frame in its engine: the rules of ``_timeline`` as expressions.

Only statistics and counts leave the engine. The rows of the two sets stay lazy frames.

:func:`_add_columns` gives each row its time, its label, and its *event*: the moment from which the
label is known, apart from the label delay. All else are comparisons of these with constants. An
entity leaves the test at the first beginning of a test day at which a fraud of it was known
(:func:`_find_blocks`); these moments, one row for each entity with a fraud, are joined to the rows.
"""

from __future__ import annotations

import datetime as dt
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw
import numpy as np

from synfin_analytics._core.dataframes import (
    check_n_invalid_labels,
    coerce_object_columns,
    column_names,
    is_invalid_label,
    label_to_float,
    normalize_types,
    rename_for_engine,
    time_literal,
    to_numpy_float,
    to_numpy_time,
    to_utc,
)
from synfin_analytics._core.lazy_frames import select_columns, transform_rows
from synfin_analytics._core.worker_functions import DaskFunction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._aggregate import (
    aggregate_counts,
    aggregate_lazily,
    group_key,
    sum_by,
)
from synfin_analytics.metrics._timeline import (
    AFTER,
    BEFORE,
    COMPROMISED,
    DELAY,
    LATE,
    PARTS,
    TEST,
    TRAINING,
    UNLABELLED,
    Count,
    Sets,
    check_n_missing,
    check_n_rows,
    check_sets,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.metrics._timeline import Columns, Lengths

#: Columns that are added to the rows while they are split.
_PREFIX = "__split_"
_TIME, _EVENT, _LABEL, _ENTITY = (f"{_PREFIX}{name}" for name in ("time", "event", "label", "of"))
_FOLD, _BLOCK, _PART = (f"{_PREFIX}{name}" for name in ("fold", "block", "part"))
_COUNTS = ("n", "unlabelled", "frauds")
_NO_TIME, _INVALID_LABEL, _FIRST, _LAST = "no_time", "invalid_label", "first", "last"
_UNKNOWN = "unknown_"
_RESOLUTION, _DAY = dt.timedelta(microseconds=1), dt.timedelta(days=1)
_EPOCH = np.datetime64("1970-01-01", "us")
_CALENDAR = np.array(["0001-01-01", "9999-12-31T23:59:59.999999"], "M8[us]")


@dataclass(frozen=True, eq=False)
class LazyRows:
    """Rows of a lazy frame of polars, DuckDB, Dask or PySpark.

    Parameters
    ----------
    native
        The frame, whose column names are safe for its engine.
    columns
        The columns of the split, by these names.
    names
        The safe names, and those of the caller's frame.
    first, last
        Times of the first and the last row.
    caller
        Name of the public function, for messages.
    """

    native: Any
    columns: Columns
    names: Mapping[str, str]
    first: np.datetime64
    last: np.datetime64
    caller: str

    @classmethod
    def open(cls, df: Any, columns: Columns, caller: str) -> LazyRows:
        """Check the columns of a frame, and their values by one query."""
        available = column_names(df, caller)
        columns.check(available)
        for name in available:
            if name.casefold().startswith(_PREFIX):
                raise ArgumentError(
                    f"Names of columns that begin with {_PREFIX!r} are used by {caller}; got "
                    f"{name!r}: rename it."
                )
        native, names = rename_for_engine(df, available, caller)
        columns_in_engine = columns.rename(names)
        stats = aggregate_counts(
            _prepare(select_columns(native, columns_in_engine.names), columns_in_engine),
            [_TIME, _LABEL, *columns_in_engine.times],
            [],
            functools.partial(_select_statistics, times=columns_in_engine.times),
            caller=caller,
            minima=[_FIRST],
            maxima=[_LAST],
        )
        n_rows, n_missing, n_invalid = (
            int(to_numpy_float(stats[name])[0]) for name in ("n", _NO_TIME, _INVALID_LABEL)
        )
        check_n_rows(n_rows)
        for name in columns.times:
            if to_numpy_float(stats[_UNKNOWN + names[name]])[0]:
                raise ArgumentError(
                    f"Column {name!r} must hold timestamps to be split by time; its type is "
                    "unknown. Cast it to a timestamp first."
                )
        check_n_missing(n_missing, n_rows, columns.timestamp)
        check_n_invalid_labels(n_invalid, columns.label)
        first, last = (to_numpy_time(stats[name])[0] for name in (_FIRST, _LAST))
        safe_names = {safe_name: name for name, safe_name in names.items()}
        return cls(native, columns_in_engine, safe_names, first, last, caller)

    def split(self, lengths: Lengths, starts: Sequence[np.datetime64]) -> Iterator[Sets]:
        """Split once for each start; all are checked before the first is returned."""
        folds = [_Fold.at(start, lengths, self.columns) for start in starts]
        counts = self._count_parts(folds)
        n_compromised = [0] * len(folds)
        if self.columns.entity is not None:
            for number, (n_entities, compromised) in self._count_compromised(folds).items():
                n_compromised[number] = n_entities
                tested = counts[number][TEST]
                kept = zip(tested, compromised, strict=True)
                counts[number][TEST] = Count(*(all_rows - rows for all_rows, rows in kept))
                counts[number][COMPROMISED] = compromised
        for start, parts in zip(starts, counts, strict=True):
            sizes = {name: count.n for name, count in parts.items()}
            check_sets(sizes, lengths.bounds(start), (self.first, self.last))
        return (
            Sets(start, self._training_rows(fold), self._test_rows(fold), parts, n_entities)
            for start, fold, parts, n_entities in zip(
                starts, folds, counts, n_compromised, strict=True
            )
        )

    # -- Counts ------------------------------------------------------------------------------------

    def _read(self) -> Any:
        """Return only what decides about rows, from the columns of the split."""
        return _prepare(select_columns(self.native, self.columns.names), self.columns)

    def _count_parts(self, folds: list[_Fold]) -> list[dict[str, Count]]:
        """Count the rows of each part of each fold, by one query; the tests are complete."""
        keys = [f"{_PART}{number}" for number in range(len(folds))]
        table = aggregate_counts(
            self._read(),
            [_TIME, _EVENT, _LABEL],
            keys,
            functools.partial(_select_parts, folds=folds),
            caller=self.caller,
        )
        rows = np.array([to_numpy_float(table[name]) for name in _COUNTS]).astype(np.int64)
        counts = []
        for key in keys:
            numbers = to_numpy_float(table[key]).astype(np.int64)
            sums = (rows[:, numbers == number].sum(axis=1) for number in range(len(PARTS)))
            counts.append(
                {name: Count(*total.tolist()) for name, total in zip(PARTS, sums, strict=True)}
            )
        return counts

    def _count_compromised(self, folds: list[_Fold]) -> dict[int, tuple[int, Count]]:
        """Count entities and rows that leave the test of each fold, by one query."""
        table = aggregate_counts(
            self._join_blocks(self._read(), folds),
            [_TIME, _LABEL, _ENTITY, *_block_names(folds)],
            [_FOLD, _ENTITY],
            functools.partial(_select_compromised, folds=folds),
            caller=self.caller,
            then=_count_entities,
        )
        columns = [to_numpy_float(table[name]).astype(int) for name in (_FOLD, "of", *_COUNTS)]
        return {
            number: (n_entities, Count(*counts))
            for number, n_entities, *counts in np.transpose(columns).tolist()
        }

    # -- Rows --------------------------------------------------------------------------------------

    def _training_rows(self, fold: _Fold) -> Any:
        rows = _prepare(self.native, self.columns)
        return self._finish(transform_rows(rows, functools.partial(_keep_training, fold=fold)))

    def _test_rows(self, fold: _Fold) -> Any:
        rows = _prepare(self.native, self.columns)
        if self.columns.entity is None:
            return self._finish(transform_rows(rows, functools.partial(_keep_times, folds=[fold])))
        joined = self._join_blocks(rows, [fold])
        return self._finish(transform_rows(joined, _keep_unblocked))

    def _join_blocks(self, rows: Any, folds: list[_Fold]) -> Any:
        """Join to the rows of the tests the moments from which their entities are left out."""
        blocks = aggregate_lazily(
            self._read(),
            [_TIME, _EVENT, _LABEL, _ENTITY],
            [_ENTITY],
            functools.partial(_select_frauds, folds=folds),
            caller=self.caller,
            then=functools.partial(_find_blocks, folds=folds),
            minima=_block_names(folds),
        )
        tested = transform_rows(rows, functools.partial(_keep_times, folds=folds))
        if not nw.dependencies.is_dask_dataframe(rows):
            return _join(nw.from_native(tested), nw.from_native(blocks)).to_native()
        return tested.map_partitions(
            DaskFunction(_join_partition),
            blocks,
            align_dataframes=False,
            meta=_join_partition(tested._meta, blocks._meta),
        )

    def _finish(self, rows: Any) -> Any:
        """Return only the columns of the caller's frame, by its names."""
        if nw.dependencies.is_dask_dataframe(rows):
            return rows[list(self.native.columns)]
        frame: Any = nw.from_native(rows).select(*self.names)
        changed = {safe_name: name for safe_name, name in self.names.items() if safe_name != name}
        return (frame.rename(changed) if changed else frame).to_native()


@dataclass(frozen=True, slots=True)
class _Fold:
    """Moments of a split, in UTC.

    ``known_until`` is that of the last events of which the label is known when the test begins,
    ``day`` the time of day at which the days of the test begin.
    """

    train_start: dt.datetime
    train_end: dt.datetime
    test_start: dt.datetime
    test_end: dt.datetime
    known_until: dt.datetime
    label_delay: dt.timedelta
    day: dt.timedelta

    @classmethod
    def at(cls, start: np.datetime64, lengths: Lengths, columns: Columns) -> _Fold:
        bounds = lengths.bounds(start)
        has_delay = columns.label_available_at is None
        delay = lengths.label_delay if has_delay else np.timedelta64(0, "us")
        day = (bounds[2] - _EPOCH) % np.timedelta64(1, "D")
        train_start, train_end, test_start, test_end = map(_to_datetime, bounds)
        return cls(
            train_start,
            train_end,
            test_start,
            test_end,
            known_until=_to_datetime(bounds[2] - delay),
            label_delay=delay.astype("m8[us]").item(),
            day=day.astype("m8[us]").item(),
        )


def _to_datetime(moment: np.datetime64) -> dt.datetime:
    """Convert a moment; one beyond the calendar becomes its end, which no rows reach."""
    nearest: dt.datetime = np.clip(moment, *_CALENDAR).astype("M8[us]").item()
    return nearest.replace(tzinfo=dt.UTC)


def _block_names(folds: Sequence[_Fold]) -> list[str]:
    return [f"{_BLOCK}{number}" for number in range(len(folds))]


# -- Frames of every engine ------------------------------------------------------------------------
# A partition of Dask is a pandas frame. These functions are applied to each, and keep its index.


def _prepare(df: Any, columns: Columns) -> Any:
    """Return a native frame with the columns that :func:`_add_columns` adds."""
    return transform_rows(df, functools.partial(_add_columns, columns=columns))


def _join(rows: Frame, blocks: Any) -> Frame:
    return rows.join(blocks, on=_ENTITY, how="left")


def _join_partition(partition: Any, blocks: Any) -> Any:
    entities = partition[[_ENTITY]].reset_index(drop=True)
    if entities[_ENTITY].dtype == object:  # pandas groups Python's numbers by their own type
        blocks = blocks.astype({_ENTITY: object})
    joined = _join(nw.from_native(entities), nw.from_native(blocks)).to_native()
    return partition.assign(
        **{name: joined[name].array for name in joined.columns if name != _ENTITY}
    )


def _add_columns(frame: Frame, columns: Columns) -> Frame:
    """Add to each row its time, event, label and, if entities matter, its entity."""
    values = columns._replace(entity=None).names
    read = coerce_object_columns(normalize_types(frame.select(*values)), values)
    label = label_to_float(read.collect_schema()[columns.label], columns.label)
    time = event = _select_time(read, columns.timestamp)
    if columns.label_available_at is not None:
        available_at = _select_time(read, columns.label_available_at)
        event = nw.when(available_at > time).then(available_at).otherwise(time)
    added = [time.alias(_TIME), event.alias(_EVENT), label.alias(_LABEL)]
    if isinstance(read, nw.DataFrame):  # pandas, whose columns were converted
        frame = frame.with_columns(*read.select(*added).iter_columns())
    else:
        frame = frame.with_columns(*added)
    if columns.entity is None:
        return frame
    dtype = frame.collect_schema()[columns.entity]
    entity = group_key(dtype, columns.entity)
    if dtype in (nw.Categorical, nw.Enum):  # whose codes may differ between partitions
        entity = entity.cast(nw.String)
    return frame.with_columns(entity.alias(_ENTITY))


def _select_time(frame: Frame, name: str) -> nw.Expr:
    """Return an expression for a time in UTC, to the microsecond."""
    if frame.collect_schema()[name] == nw.Unknown:  # the type of a column of NULLs only
        return nw.lit(None, nw.Datetime("us"))
    time = to_utc(frame, name, "to be split by time")
    if frame.implementation.is_spark_like():  # of microseconds, in the zone of the session
        return time
    whole = time.cast(nw.Datetime("us"))
    if getattr(frame.collect_schema()[name], "time_unit", None) != "ns":
        return whole
    if frame.implementation.is_duckdb():  # which rounds
        return nw.when(whole > time).then(whole - nw.lit(_RESOLUTION)).otherwise(whole)
    return time.dt.truncate("1us").cast(nw.Datetime("us"))  # Arrow does not drop nanoseconds


# -- What each row adds to the counts --------------------------------------------------------------


def _measures() -> list[nw.Expr]:
    """Return what each row adds to a :class:`Count`."""
    label = nw.col(_LABEL)
    measures = (
        nw.lit(1, nw.Int64),
        label.is_null().cast(nw.Int64),
        (label.fill_null(0) == 1).cast(nw.Int64),
    )
    return [measure.alias(name) for name, measure in zip(_COUNTS, measures, strict=True)]


def _select_statistics(frame: Frame, times: Sequence[str]) -> Frame:
    schema = frame.collect_schema()
    # A column of NULLs only has this type, too; one with values cannot be read.
    unknown = (
        nw.lit(0, nw.Int64)
        if schema[name] != nw.Unknown
        else (~nw.col(name).is_null()).cast(nw.Int64)
        for name in times
    )
    return frame.select(
        *(column.alias(_UNKNOWN + name) for name, column in zip(times, unknown, strict=True)),
        nw.lit(1, nw.Int64).alias("n"),
        nw.col(_TIME).is_null().cast(nw.Int64).alias(_NO_TIME),
        is_invalid_label(nw.col(_LABEL)).cast(nw.Int64).alias(_INVALID_LABEL),
        nw.col(_TIME).alias(_FIRST),
        nw.col(_TIME).alias(_LAST),
    )


def _select_parts(frame: Frame, folds: Sequence[_Fold]) -> Frame:
    parts = [
        _number_part(frame, fold).alias(f"{_PART}{number}") for number, fold in enumerate(folds)
    ]
    return frame.select(*parts, *_measures())


def _number_part(frame: Frame, fold: _Fold) -> nw.Expr:
    """Return an expression for the index in :data:`PARTS`; compromised rows are in the test."""
    at = functools.partial(time_literal, frame)
    time = nw.col(_TIME)
    conditions = {
        BEFORE: time < at(fold.train_start),
        AFTER: time >= at(fold.test_end),
        TEST: time >= at(fold.test_start),
        DELAY: time >= at(fold.train_end),
        UNLABELLED: nw.col(_LABEL).is_null(),
        LATE: nw.col(_EVENT) > at(fold.known_until),
    }
    number = nw.lit(PARTS.index(TRAINING), nw.Int64)
    for part, condition in reversed(conditions.items()):
        number = nw.when(condition).then(nw.lit(PARTS.index(part), nw.Int64)).otherwise(number)
    return number


def _keep_training(frame: Frame, fold: _Fold) -> Frame:
    return frame.filter(_number_part(frame, fold) == PARTS.index(TRAINING))


def _keep_times(frame: Frame, folds: Sequence[_Fold]) -> Frame:
    """Keep the rows of the test periods, which follow one another."""
    at = functools.partial(time_literal, frame)
    time = nw.col(_TIME)
    return frame.filter(time >= at(folds[0].test_start), time < at(folds[-1].test_end))


# -- Entities that are known to be compromised -----------------------------------------------------


def _select_frauds(frame: Frame, folds: Sequence[_Fold]) -> Frame:
    """Select the frauds that count in each fold: those since its training began."""
    at = functools.partial(time_literal, frame)
    time = nw.col(_TIME)
    frauds = frame.filter(
        nw.col(_LABEL) == 1, ~nw.col(_ENTITY).is_null(), time >= at(folds[0].train_start)
    )
    since = [
        nw.when(time >= at(fold.train_start)).then(nw.col(_EVENT)).alias(name)
        for fold, name in zip(folds, _block_names(folds), strict=True)
    ]
    return frauds.select(_ENTITY, *since)


def _find_blocks(frauds: Frame, folds: Sequence[_Fold]) -> Frame:
    """Replace the first events by the beginnings of the days from which entities are left out."""
    return frauds.with_columns(
        (
            # The day that begins when a label becomes known is one of them.
            (nw.col(name) + nw.lit(fold.label_delay - fold.day + _DAY - _RESOLUTION)).dt.truncate(
                "1d"
            )
            + nw.lit(fold.day)
        ).alias(name)
        for fold, name in zip(folds, _block_names(folds), strict=True)
    )


def _keep_unblocked(frame: Frame) -> Frame:
    """Keep the rows before their entity is left out of the only fold."""
    (block,) = map(nw.col, _block_names([None]))  # type: ignore[list-item]
    return frame.filter(block.is_null() | (nw.col(_TIME) < block))


def _select_compromised(frame: Frame, folds: Sequence[_Fold]) -> Frame:
    """Select the rows that leave a test, and the number of its fold."""
    number, block = nw.lit(len(folds) - 1, nw.Int64), nw.col(_block_names(folds)[-1])
    for earlier in reversed(range(len(folds) - 1)):
        in_fold = nw.col(_TIME) < time_literal(frame, folds[earlier].test_end)
        number = nw.when(in_fold).then(nw.lit(earlier, nw.Int64)).otherwise(number)
        block = nw.when(in_fold).then(nw.col(_block_names(folds)[earlier])).otherwise(block)
    rows = frame.with_columns(number.alias(_FOLD), block.alias(_BLOCK))
    return rows.filter(nw.col(_TIME) >= nw.col(_BLOCK)).select(_FOLD, _ENTITY, *_measures())


def _count_entities(counts: Frame) -> Frame:
    """Sum the counts of entities by fold."""
    entities = counts.select(_FOLD, nw.lit(1, nw.Int64).alias("of"), *_COUNTS)
    return sum_by(entities, [_FOLD])
