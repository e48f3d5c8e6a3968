"""DataFrames of any engine through narwhals: opening, collecting, and columns in known types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals as nw
import numpy as np

from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics.exceptions import ArgumentError, NotFoundError, refuse_repeated_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from synfin_analytics._core.frequency import Period

Frame: TypeAlias = nw.DataFrame[Any] | nw.LazyFrame[Any]

#: What makes an expression of a name.
_AN_EXPRESSION = re.compile(r"[.`\"]")
_CUT = {"minute": "1m", "hour": "1h", "day": "1d", "month": "1mo"}
_UTC = {"UTC", "Etc/UTC", "Z", "GMT", "Etc/GMT", "+00:00"}
#: Engines that have one zone for a connection, not one for a column, and how it is set.
_SET_UTC = {
    nw.Implementation.DUCKDB: "SET TimeZone = 'UTC' on DuckDB's connection",
    nw.Implementation.PYSPARK: "spark.conf.set('spark.sql.session.timeZone', 'UTC')",
    nw.Implementation.PYSPARK_CONNECT: "spark.conf.set('spark.sql.session.timeZone', 'UTC')",
}


def column_names(frame: Any, caller: str) -> list[str]:
    """Return the names of a frame's columns, of any engine."""
    if nw.dependencies.is_dask_dataframe(frame):
        return [str(name) for name in frame.columns]
    return names_of(opened(frame, caller))


def names_of(frame: Frame) -> list[str]:
    """Return the names of columns whose types narwhals may not know."""
    if isinstance(frame, nw.DataFrame):
        return frame.columns
    return frame.collect_schema().names()


def collect(frame: Frame) -> nw.DataFrame[Any]:
    """Compute what is lazy; what comes from Spark becomes a pandas frame of Arrow types."""
    if isinstance(frame, nw.DataFrame):
        return frame
    if not frame.implementation.is_spark_like():
        return frame.collect()
    # Through Arrow, where integers beside NULLs stay integers.
    import pandas as pd

    table = frame.collect("pyarrow").to_arrow()
    collected: nw.DataFrame[Any] = nw.from_native(
        table.to_pandas(types_mapper=pd.ArrowDtype), eager_only=True
    )
    return collected


def opened(frame: Any, caller: str) -> Frame:
    """Open a frame of any engine, or say which ones there are."""
    try:
        found: Frame = nw.from_native(frame)
    except nw.exceptions.DuplicateError:
        refuse_repeated_columns(frame)
        raise
    except TypeError:
        raise ArgumentError(
            f"The data of {caller} must be a DataFrame of pandas, polars, pyarrow, DuckDB, Dask or "
            f"PySpark; got {type(frame).__name__}."
        ) from None
    if found.implementation.is_polars():
        require_thread_pool()
    return found


def plainly_named(frame: Any, columns: Collection[str], caller: str) -> tuple[Any, dict[str, str]]:
    """Rename columns whose names DuckDB and Spark would read as expressions, such as ``"a.b"``.

    Returns
    -------
    tuple
        The frame, and the name in it of each of ``columns``.
    """
    names = {name: name for name in columns}
    if nw.dependencies.is_dask_dataframe(frame) or not any(map(_AN_EXPRESSION.search, columns)):
        return frame, names
    found = opened(frame, caller)
    if found.implementation not in _SET_UTC:
        return frame, names
    known = names_of(found)
    check_columns(list(columns), known)
    taken = {name.casefold() for name in known}
    for name in columns:
        plain_name = _AN_EXPRESSION.sub("_", name)
        while plain_name != name and plain_name.casefold() in taken:
            plain_name += "_"
        names[name] = plain_name
        taken.add(plain_name.casefold())
    if found.implementation.is_spark_like():
        return frame.toDF(*(names.get(name, name) for name in known)), names
    changed = {name: plain_name for name, plain_name in names.items() if name != plain_name}
    return found.rename(changed).to_native(), names


def check_columns(wanted: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a column that is not there, with the nearest that is."""
    for name in wanted:
        if name not in known:
            raise NotFoundError("column", name, known, where="the frame")


def plain(frame: Frame) -> Frame:
    """Give columns of pandas and pyarrow types that narwhals and Arrow's kernels know.

    A zone becomes UTC in pandas (narwhals recognizes only some of them), a dictionary of Arrow the
    values it encodes, a view of texts or bytes the array that it is a view of.
    """
    import pyarrow as pa

    if frame.implementation.is_pyarrow():
        table: pa.Table = frame.to_native()
        types = [_plain_type(field.type) for field in table.schema]
        if types == table.schema.types:
            return frame
        fields = zip(table.column_names, types, strict=True)
        cast: nw.DataFrame[Any] = nw.from_native(table.cast(pa.schema(fields)), eager_only=True)
        return cast
    if not frame.implementation.is_pandas():
        return frame
    import pandas as pd

    native: pd.DataFrame = frame.to_native()
    changed: dict[str, Any] = {}
    for name, dtype in zip(frame.columns, native.dtypes, strict=True):
        if isinstance(dtype, pd.DatetimeTZDtype):
            changed[name] = native[name].dt.tz_convert("UTC")
        elif isinstance(dtype, pd.ArrowDtype):
            wanted = _plain_type(dtype.pyarrow_dtype, "UTC")
            if wanted != dtype.pyarrow_dtype:
                array = pd.arrays.ArrowExtensionArray(
                    native[name].array.__arrow_array__().cast(wanted)
                )
                changed[name] = pd.Series(array, index=native.index)
    if not changed:
        return frame
    known: nw.DataFrame[Any] = nw.from_native(native.assign(**changed), eager_only=True)
    return known


def _plain_type(of: pa.DataType, zone: str | None = None) -> pa.DataType:
    """Type of Arrow that holds the same values and is known everywhere."""
    import pyarrow as pa

    if pa.types.is_dictionary(of):
        return _plain_type(of.value_type, zone)
    if pa.types.is_string_view(of):
        return pa.large_string()
    if pa.types.is_binary_view(of):
        return pa.large_binary()
    if pa.types.is_timestamp(of) and of.tz is not None and zone is not None:
        return pa.timestamp(of.unit, zone)
    return of


def typed(frame: Frame, values: Collection[str]) -> Frame:
    """Give the ``object`` columns of pandas the type of what is in them, as of Decimal.

    Group columns of texts, those not among ``values``, stay: their type is part of the result.
    """
    if not frame.implementation.is_pandas():
        return frame
    import pandas as pd
    import pyarrow as pa

    native = frame.to_native().copy(deep=False)
    for name, dtype in frame.collect_schema().items():
        if native[name].dtype != object or (dtype == nw.String and name not in values):
            continue
        try:
            found = pa.array(native[name], from_pandas=True)
        except OverflowError:
            raise ArgumentError(
                f"Column {name!r} must hold numbers of at most 64 bits; got larger integers."
            ) from None
        except pa.ArrowException:
            raise ArgumentError(
                f"Column {name!r} must hold values of one type; it mixes several."
            ) from None
        found = found.cast(_plain_type(found.type, "UTC"))
        native[name] = pd.Series(pd.arrays.ArrowExtensionArray(found), index=native.index)
    typed_frame: nw.DataFrame[Any] = nw.from_native(native, eager_only=True)
    return typed_frame


def missing_as_null(dtype: nw.dtypes.DType, name: str, meaning: str) -> nw.Expr:
    """Column as a double, NaN as NULL, so that it is missing for every engine alike."""
    column = nw.col(name)
    if dtype == nw.Boolean:
        return column.cast(nw.Int64).cast(nw.Float64)
    if dtype == nw.Unknown:  # the type of a column in which nothing stands
        return column.cast(nw.Float64)
    if not dtype.is_numeric():
        raise ArgumentError(f"Column {name!r} must be {meaning}; it is {dtype}.")
    return column.cast(nw.Float64).fill_nan(None)


def start_of_unit(frame: Frame, timestamp: str, period: Period) -> nw.Expr:
    """Timestamps, cut to the unit of ``period`` in UTC; a naive one is read as UTC."""
    return moment_of(frame, timestamp).dt.truncate(_CUT[period.unit])


def moment_of(frame: Frame, timestamp: str) -> nw.Expr:
    """Timestamps in UTC, without a zone; a naive one is read as UTC."""
    dtype, moment = frame.collect_schema()[timestamp], nw.col(timestamp)
    zone = _zone(frame, dtype)
    if zone not in _UTC and frame.implementation in _SET_UTC:
        raise ArgumentError(
            f"The time zone of the engine must be UTC to cut time into periods; got {zone!r}: run "
            f"{_SET_UTC[frame.implementation]}."
        )
    if dtype == nw.Date:
        return moment.cast(nw.Datetime("us"))
    if not isinstance(dtype, nw.Datetime):
        raise ArgumentError(
            f"Column {timestamp!r} must hold timestamps to be cut into periods; it is {dtype}."
        )
    if dtype.time_zone is not None:
        if zone not in _UTC:
            moment = moment.dt.convert_time_zone("UTC")
        moment = moment.dt.replace_time_zone(None)
    return moment


def _zone(frame: Frame, dtype: nw.dtypes.DType) -> str:
    """Zone in which an engine cuts a column; Spark uses its session's for naive ones too."""
    if frame.implementation.is_spark_like():
        return str(frame.to_native().sparkSession.conf.get("spark.sql.session.timeZone"))
    return getattr(dtype, "time_zone", None) or "UTC"


def utc(moments: nw.Series[Any]) -> NDArray[np.datetime64]:
    """Moments without their zone, which is UTC where there is one."""
    if getattr(moments.dtype, "time_zone", None) is not None:
        moments = moments.dt.replace_time_zone(None)
    return moments.to_numpy().astype("datetime64[us]")


def numbers(values: nw.Series[Any]) -> NDArray[np.float64]:
    """Measures as doubles; the sum of no rows is 0 even where an engine calls it NULL."""
    return values.cast(nw.Float64).fill_null(0).to_numpy().astype(np.float64)
