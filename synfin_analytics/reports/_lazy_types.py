"""Which lazy frames an engine counts for a report, and their columns in types that it can count.

An engine does not parse texts as the report does in memory, so that columns of other types are read
there: texts of amounts or times, Python objects, nested values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals as nw

from synfin_analytics._core.dataframes import (
    label_to_float,
    normalize_types,
    open_frame,
    rename_for_engine,
    to_utc,
)
from synfin_analytics._core.dates import days_since_epoch
from synfin_analytics._core.engine_errors import translate_engine_errors
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synfin_analytics._core.dataframes import Frame
    from synfin_analytics.reports._columns import ReportColumns

_TEXTS = (nw.String, nw.Categorical, nw.Enum)
_DAY, _HOUR, _MINUTE, _SECOND = 86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000


@dataclass(frozen=True)
class Conversion:
    """Converts the columns of a frame to the types of a report; Dask's workers unpickle it.

    Labels become 1, 0 or NULL as doubles, times UTC without a zone, and texts of categories texts;
    NaN becomes NULL.

    Attributes
    ----------
    kinds
        By column: ``"label"``, ``"time"``, ``"number"``, ``"text"`` or ``"value"``.
    pos_label
        The label that means fraud; None if labels are true or false.
    """

    kinds: Mapping[str, str]
    pos_label: Any = None

    @classmethod
    def of(cls, columns: ReportColumns, pos_label: Any) -> Conversion:
        """Return the conversion of the columns of a report."""
        roles = columns.roles
        kinds = dict.fromkeys(columns.names, "value")
        # Later roles decide about a column of several, as where rows are read into memory.
        for kind, names in (
            ("text", (roles.currency, roles.status)),
            ("number", columns.bins),
            ("time", (roles.timestamp, roles.label_available_at)),
            ("number", (roles.score, roles.compare_with, roles.weight, roles.amount)),
            ("label", (roles.label,)),
        ):
            kinds |= dict.fromkeys((name for name in names if name is not None), kind)
        return cls(kinds, pos_label)

    def accepts(self, schema: nw.Schema, zone: str | None = "UTC") -> bool:
        """Whether an engine can convert all columns; of ``zone`` None if they may differ."""
        return all(self._accepts(kind, schema[name], zone) for name, kind in self.kinds.items())

    def _accepts(self, kind: str, dtype: nw.dtypes.DType, zone: str | None) -> bool:
        if kind == "label":
            if self.pos_label is None:
                return dtype == nw.Boolean or dtype.is_integer() or dtype.is_float()
            return _is_comparable(dtype, self.pos_label)
        if kind == "time":
            if not isinstance(dtype, nw.Datetime):
                return bool(dtype == nw.Date)
            return dtype.time_zone is None or zone is None or dtype.time_zone == zone
        if kind == "number":
            return dtype.is_numeric()
        if kind == "text":
            return dtype in _TEXTS
        return dtype in _TEXTS or dtype == nw.Boolean or dtype.is_integer() or dtype.is_float()

    def __call__(self, frame: Frame) -> Frame:
        """Convert the columns of a frame."""
        frame = normalize_types(frame.select(*self.kinds))
        schema = frame.collect_schema()
        return frame.select(
            *(
                self._convert(frame, schema[name], name, kind).alias(name)
                for name, kind in self.kinds.items()
            )
        )

    def _convert(self, frame: Frame, dtype: nw.dtypes.DType, name: str, kind: str) -> nw.Expr:
        column = nw.col(name)
        if kind == "label":
            if self.pos_label is None:
                return label_to_float(dtype, name)
            column = column.fill_nan(None) if dtype.is_float() else column
            is_fraud = (column == self.pos_label).cast(nw.Int64).cast(nw.Float64)
            return nw.when(~column.is_null()).then(is_fraud)
        if kind == "time":
            moment = to_utc(frame, name)
            if getattr(dtype, "time_unit", "us") != "us":
                moment = moment.cast(nw.Datetime("us"))
            return moment
        if dtype.is_float():
            return column.fill_nan(None)
        return column.cast(nw.String) if dtype in (nw.Categorical, nw.Enum) else column


def _is_comparable(dtype: nw.dtypes.DType, label: Any) -> bool:
    """Whether a column can be compared with the label that means fraud."""
    if isinstance(label, str):
        return dtype in _TEXTS
    if isinstance(label, bool):
        return bool(dtype == nw.Boolean)
    return isinstance(label, int) and dtype.is_integer()


def find_conversion(
    data: Any, columns: ReportColumns, pos_label: Any, caller: str
) -> Conversion | None:
    """Return how the engine of a native lazy frame converts the columns of a report.

    Returns
    -------
    Conversion or None
        None if a column has a type, or a name, of which the engine cannot count.
    """
    conversion = Conversion.of(columns, pos_label)
    names = columns.names
    if nw.dependencies.is_dask_dataframe(data):
        from pandas.api.types import is_object_dtype

        if any(is_object_dtype(data.dtypes[name]) for name in names):
            return None
        meta = nw.from_native(data[names]._meta, eager_only=True)
        schema = normalize_types(meta).collect_schema()
        return conversion if conversion.accepts(schema, None) else None
    if rename_for_engine(data, names, caller)[0] is not data:
        return None
    frame = open_frame(data, caller).select(*names)
    with translate_engine_errors():
        schema = frame.collect_schema()
    times = [name for name, kind in conversion.kinds.items() if kind == "time"]
    is_polars = frame.implementation.is_polars()
    if not conversion.accepts(schema, None if is_polars else "UTC"):
        return None
    if not is_polars and any(getattr(schema[name], "time_unit", "us") == "ns" for name in times):
        return None
    try:
        for name in times:
            to_utc(frame, name)
    except ArgumentError:  # the engine's zone is not UTC
        return None
    return conversion


def microseconds_between(frame: Frame, start: str, end: str) -> nw.Expr:
    """Return an expression for the whole number of microseconds between two columns of times."""
    if frame.implementation.is_spark_like():  # it has no durations
        return _microseconds(nw.col(end)) - _microseconds(nw.col(start))
    return (nw.col(end) - nw.col(start)).dt.total_microseconds()


def _microseconds(moment: nw.Expr) -> nw.Expr:
    """Return microseconds since 1970."""
    parts = moment.dt
    date = (
        expression.cast(nw.Float64) for expression in (parts.year(), parts.month(), parts.day())
    )
    days = days_since_epoch(*date).cast(nw.Int64)
    time = (
        (parts.hour(), _HOUR), (parts.minute(), _MINUTE), (parts.second(), _SECOND),
        (parts.microsecond(), 1),
    )  # fmt: skip
    total = days * _DAY
    for number, length in time:
        total = total + number.cast(nw.Int64) * length
    return total
