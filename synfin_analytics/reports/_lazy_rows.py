"""The rows of a report that stay in their engine: checked, restricted and counted by it.

Few passes over the rows check them: one counts what :mod:`~synfin_analytics.reports._reading`
refuses or remarks on; each column to group by, and rows that may be there twice, need one more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals as nw
import polars as pl
import polars.selectors as cs

from synfin_analytics._core.dataframes import collect, column_names, is_lazy_frame, native_frame
from synfin_analytics._core.engine_errors import translate_engine_errors
from synfin_analytics._core.lazy_frames import select_columns, transform_rows
from synfin_analytics._core.partitions import is_spark_frame
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.metrics._aggregate import aggregate_counts, group_key
from synfin_analytics.metrics.fraud_rates import fraud_rate
from synfin_analytics.reports._cells import read_cells
from synfin_analytics.reports._columns import ReportColumns
from synfin_analytics.reports._groups import MAX_GROUPS, choose_first
from synfin_analytics.reports._lazy_survey import (
    CURRENCY,
    MAXIMA,
    MINIMA,
    PART,
    KeepRows,
    Period,
    Survey,
    kept,
    total,
)
from synfin_analytics.reports._lazy_types import find_conversion
from synfin_analytics.reports._reading import (
    CellReader,
    check_persons,
    no_rows_error,
    nothing_known_error,
)
from synfin_analytics.reports._remarks import Oddities, describe_oddities
from synfin_analytics.reports._rows import describe_missing_times
from synfin_analytics.reports._sources import Knowledge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pandas as pd

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.reports._groups import By, Grouping
    from synfin_analytics.reports._rows import Roles

#: Cells of a column to group by from which it is recognized that they identify persons.
_SAMPLE_ROWS = 1000


@dataclasses.dataclass(frozen=True)
class LazyRows:
    """Rows of a report in their engine, in types that it can count.

    Attributes
    ----------
    frame
        A native lazy frame: the rows of the report, columns under the names that the caller knows.
        Labels are doubles (1, 0 or NULL), as known at the time of the report, and times UTC
        without a zone.
    roles, by, candidates, currency, remarks, knowledge
        As of :class:`~synfin_analytics.reports._rows.Rows`.
    counts
        By currency, what a ``Survey`` counts of these rows.
    distinct
        By column to group by, its distinct values, counted up to a few more than a grouping has.
    caller
        Name of the public function, for messages.
    """

    frame: Any
    roles: Roles
    by: list[Grouping] | None
    candidates: tuple[str, ...]
    currency: str | None
    remarks: tuple[str, ...]
    knowledge: Knowledge | None
    counts: pl.DataFrame
    distinct: dict[str, int]
    caller: str

    def total(self, name: str) -> Any:
        """Return a count of the survey, of all currencies together; 0 if it was not counted."""
        return total(self.counts, name)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return int(self.total("transactions"))

    @property
    def clusters(self) -> list[str]:
        """Columns that make transactions dependent."""
        return [name for name in (self.roles.customer, self.roles.merchant) if name is not None]

    def aggregate(
        self, keys: Sequence[str], select: Callable[[Frame], Frame], **options: Any
    ) -> pl.DataFrame:
        """Sum by group in the engine what ``select`` adds; options of ``aggregate_counts``."""
        return aggregate(self.frame, keys, select, self.caller, **options)

    def count_values(self, name: str) -> int:
        """Count the distinct values of a column, at least up to one more than groups may be."""
        if name not in self.distinct:
            counts = _count_distinct(self.frame, list(self.candidates), self.caller)
            self.distinct.update({column: n_values for column, (n_values, _) in counts.items()})
        return self.distinct[name]

    def choose_groupings(self) -> list[Grouping]:
        """Return columns with several values, but few."""
        return choose_first(self.candidates, self.count_values)

    @property
    def extent(self) -> tuple[dt.datetime | None, dt.datetime | None]:
        """Times of the first and the last transaction; None if times are not known."""
        if self.roles.timestamp is None:
            return None, None
        first, last = (
            moment and moment.replace(tzinfo=dt.UTC)
            for moment in (self.total("first"), self.total("last"))
        )
        return first, last

    def find_missing_times(self) -> str:
        """Return why what needs times is left out; "" if it is not."""
        if self.roles.timestamp is None:
            return "No column of times was given (timestamp)."
        first, last = (None if moment is None else moment.year for moment in self.extent)
        return describe_missing_times(
            self.roles.timestamp, self.total("missing_times"), first, last
        )

    def fraud_rate(
        self, by: Any = None, *, confidence_level: float, with_amount: bool = True, **options: Any
    ) -> pd.DataFrame:
        """Return the fraud rate as a pandas frame; a period is named ``timestamp``."""
        roles, bins, every = self.roles, options.get("bins") or {}, options.get("every")
        columns = [*([by] if isinstance(by, str) else by or ())]
        rates = to_polars(
            fraud_rate(
                self.frame,
                columns,
                timestamp=roles.timestamp or "timestamp",
                amount=roles.amount if with_amount else None,
                label=roles.label,
                cluster=[name for name in self.clusters if name not in {*columns, *bins}] or None,
                confidence_level=confidence_level,
                **options,
            )
        )
        if every is not None and roles.timestamp is not None:
            rates = rates.rename({roles.timestamp: "timestamp"})
        return rates.to_pandas()

    def currencies(self) -> list[str | None]:
        """Return the distinct currencies of the labelled rows, the most frequent first."""
        if self.roles.currency is None:
            return [self.currency]
        labelled = self.counts.filter(pl.col("labelled") > 0)
        return labelled.sort("labelled", descending=True)[CURRENCY].to_list()

    def count_again(self, frame: Any) -> LazyRows:
        """Return other rows of the same report, with counts and remarks of their own."""
        names = self.counts.columns
        survey = aggregate(
            frame, [PART, CURRENCY], Survey(self.roles, Period(None, None, None)), self.caller,
            minima=[name for name in MINIMA if name in names],
            maxima=[name for name in MAXIMA if name in names],
        )  # fmt: skip
        rows = dataclasses.replace(self, frame=frame, counts=kept(survey), distinct={}, remarks=())
        return dataclasses.replace(rows, remarks=_remark(rows))

    def release(self) -> None:
        """Free what the engine holds of the rows."""
        if is_spark_frame(self.frame):
            self.frame.unpersist()


@contextlib.contextmanager
def closing_rows(rows: LazyRows | None) -> Iterator[LazyRows | None]:
    """Free what an engine holds of rows at the end, also after an error."""
    try:
        yield rows
    finally:
        if rows is not None:
            rows.release()


def to_polars(frame: Any) -> pl.DataFrame:
    """Return a native frame in memory as one of polars."""
    converted: pl.DataFrame = nw.from_native(frame, eager_only=True).to_polars()
    return converted


def aggregate(
    df: Any, keys: Sequence[str], select: Callable[[Frame], Frame], caller: str, **options: Any
) -> pl.DataFrame:
    """Sum by group in the engine of a converted frame, of which all columns can be read."""
    names = column_names(df, caller)
    counts: pl.DataFrame = aggregate_counts(
        df, names, keys, select, caller=caller, **options
    ).to_polars()
    # DuckDB adds whole numbers to numbers of 128 bits.
    return counts.with_columns(cs.decimal().cast(pl.Int64))


def open_lazy_rows(
    data: Any,
    roles: Roles,
    *,
    by: By,
    bins: Sequence[str] = (),
    period: tuple[dt.datetime | None, dt.datetime | None] = (None, None),
    as_of: dt.datetime | None = None,
    pos_label: Any = None,
    options: ReadOptions | None = None,
    caller: str,
) -> LazyRows | None:
    """Open the rows of a report whose engine counts; arguments and errors as of ``read_rows``.

    Returns
    -------
    LazyRows or None
        None if the rows must be read into memory: those of a file or of a frame in memory, and
        columns of types that only the report parses.
    """
    options, data = options or ReadOptions(), native_frame(data)
    # Naive times in another zone are parsed in memory.
    if not is_lazy_frame(data) or options.timezone is not None:
        return None
    columns = ReportColumns.parse(
        data, roles, by=by, bins=bins, period=period, as_of=as_of, options=options, caller=caller
    )
    conversion = find_conversion(data, columns, pos_label, caller)
    if conversion is None:
        return None
    with translate_engine_errors():
        base = transform_rows(select_columns(data, columns.names), conversion)
    return _Opener(base, columns, Period(*period, as_of), options, caller).open(data, pos_label)


class _Opener:
    """Checks converted rows, and restricts them."""

    def __init__(
        self, base: Any, columns: ReportColumns, period: Period, options: ReadOptions, caller: str
    ) -> None:
        self._base, self._columns, self._period = base, columns, period
        self._options, self._caller = options, caller

    def open(self, data: Any, pos_label: Any) -> LazyRows:
        """Return the rows; ``data`` is the frame of the caller."""
        columns, roles, period = self._columns, self._columns.roles, self._period
        rows = self._base if period.is_all else transform_rows(self._base, KeepRows(roles, period))
        if is_spark_frame(rows):
            # The report counts these few columns often; computing them once is cheaper.
            rows = _persist(rows, roles.customer)
        try:
            base = rows if period.is_all else self._base
            survey = aggregate(
                base, [PART, CURRENCY], Survey(roles, period), self._caller,
                minima=[name for name in MINIMA if self._measures(name)],
                maxima=[name for name in MAXIMA if self._measures(name)],
            )  # fmt: skip
            self._check(survey, data, pos_label)
            distinct = self._check_groups(base)
            counts = kept(survey)
            knowledge = self._check_restriction(survey, counts)
            lazy = LazyRows(
                rows, roles, columns.groupings, columns.candidates, columns.currency, (),
                knowledge, counts, distinct if period.is_all else {}, self._caller,
            )  # fmt: skip
            return dataclasses.replace(lazy, remarks=_remark(lazy))
        except BaseException:
            if is_spark_frame(rows):
                rows.unpersist()
            raise

    def _measures(self, name: str) -> bool:
        roles = self._columns.roles
        if name.endswith("amount"):
            return roles.amount is not None
        return roles.timestamp is not None

    def _check(self, survey: pl.DataFrame, data: Any, pos_label: Any) -> None:
        """Raise the error of rows that no report can use, which has their cells."""
        columns, roles = self._columns, self._columns.roles
        if not total(survey, "transactions"):
            raise no_rows_error(columns.place)
        for name in (roles.timestamp, roles.label_available_at):
            if name is not None and total(survey, f"outside_{name}"):
                self._reader(data, name).validate(name, "timestamp", self._options)
        if pos_label is not None:
            values = _read_distinct(data, roles.label, self._caller).drop_nulls()
            if len(values) > 2 or pos_label not in values.to_list():
                self._reader(data, roles.label).labels(roles.label, pos_label)
        elif total(survey, "invalid_labels"):
            self._reader(data, roles.label).labels(roles.label, None)

    def _reader(self, data: Any, name: str) -> CellReader:
        """Read one column of the caller into memory, whose cells an error describes."""
        cells = read_cells(data, [name], (), self._options, self._caller, is_path=False)
        return CellReader(cells, self._columns.place, self._options)

    def _check_groups(self, base: Any) -> dict[str, int]:
        """Return the numbers of distinct values of columns that identify no persons."""
        names = list(dict.fromkeys(self._columns.grouped))
        distinct = _count_distinct(base, names, self._caller) if names else {}
        samples = _read_sample(base, names) if names else pl.DataFrame()
        for name in names:
            n_values, has_null = distinct[name]
            sample = samples[name].drop_nulls()
            if has_null and len(sample) < len(samples):
                sample = _read_sample(base, [name], missing=False)[name]
            check_persons(sample, n_values - has_null)
        return {name: n_values for name, (n_values, _) in distinct.items()}

    def _check_restriction(self, survey: pl.DataFrame, counts: pl.DataFrame) -> Knowledge | None:
        as_of = self._period.as_of
        if not total(counts, "transactions"):
            in_period = survey.filter(pl.col(PART) > 0)
            if as_of is None or not total(in_period, "transactions"):
                raise no_rows_error("this period")
            raise nothing_known_error(as_of)
        if as_of is None:
            return None
        return Knowledge(as_of, total(counts, "later_labels"), total(counts, "later_frauds"))


def _remark(rows: LazyRows) -> tuple[str, ...]:
    """Return the remarks about the amounts and times of rows."""
    n_repeated = rows.n_rows - _count_different(rows) if rows.roles.repeated else 0
    oddities = Oddities(
        missing_amounts=rows.total("missing_amounts"),
        negative_amounts=rows.total("negative_amounts"),
        early_labels=rows.total("early_labels"),
        missing_times=rows.total("missing_times"),
        placeholder_times=rows.total("placeholder_times"),
        same_time=rows.n_rows > 1
        and rows.roles.timestamp is not None
        and rows.total("first") == rows.total("last"),
        repeated=n_repeated,
    )
    return tuple(describe_oddities(oddities, rows.roles))


def _count_different(rows: LazyRows) -> int:
    keys = rows.roles.repeated
    counts = rows.aggregate(keys, _Count(tuple(keys)), then=_count_groups)
    return int(counts["groups"].sum())


@dataclasses.dataclass(frozen=True)
class _Count:
    """Counts the rows of each group; Dask's workers unpickle it."""

    keys: tuple[str, ...]

    def __call__(self, frame: Frame) -> Frame:
        schema = frame.collect_schema()
        keys = (group_key(schema[name], name).alias(name) for name in self.keys)
        return frame.select(*keys, nw.lit(1, nw.Int64).alias("__rows"))


def _count_groups(counts: Frame) -> Frame:
    return counts.select(nw.len().alias("groups"))


def _first_groups(counts: Frame) -> Frame:
    return counts.head(MAX_GROUPS + 2)


def _read_distinct(df: Any, name: str, caller: str) -> pl.Series:
    """Return the distinct values of a column, or some of them if there are many."""
    select = _Count((name,))
    counts = aggregate_counts(df, [name], [name], select, caller=caller, then=_first_groups)
    return counts.to_polars()[name]


def _count_distinct(df: Any, names: list[str], caller: str) -> dict[str, tuple[int, bool]]:
    """Return by column how many distinct values it has, and whether NULL is one of them.

    Dask counts up to one more than groups may be.
    """
    if nw.dependencies.is_dask_dataframe(df):
        values = {name: _read_distinct(df, name, caller) for name in names}
        return {name: (len(column), column.has_nulls()) for name, column in values.items()}
    frame: Any = nw.from_native(df)
    counts = [nw.col(name).n_unique().alias(f"n{number}") for number, name in enumerate(names)]
    missing = [
        nw.col(name).is_null().any().alias(f"missing{number}") for number, name in enumerate(names)
    ]
    row = collect(frame.select(*counts, *missing)).to_polars().row(0, named=True)
    return {
        name: (int(row[f"n{number}"]), bool(row[f"missing{number}"]))
        for number, name in enumerate(names)
    }


def _read_sample(df: Any, names: list[str], *, missing: bool = True) -> pl.DataFrame:
    """Return the first cells of columns, also those that are missing or not."""
    if nw.dependencies.is_dask_dataframe(df):
        cells = df[names] if missing else df[names].dropna()
        return to_polars(cells.head(_SAMPLE_ROWS, npartitions=-1).reset_index(drop=True))
    frame: Any = nw.from_native(df).select(*names)
    if not missing:
        frame = frame.drop_nulls()
    return collect(frame.head(_SAMPLE_ROWS)).to_polars()


def _persist(df: Any, customer: str | None) -> Any:
    """Keep the rows of a frame of Spark, those of a customer together."""
    from pyspark import StorageLevel

    if customer is not None:
        # Rates are counted by customer for their intervals: each would shuffle the rows anew.
        df = df.repartition(df[f"`{customer}`"])
    with translate_engine_errors():  # Spark computes a frame of local rows as it plans it
        return df.persist(StorageLevel.MEMORY_AND_DISK)
