"""DataFrames of any engine through narwhals: open, collect, and read columns in known types."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals as nw
import numpy as np

from synfin_analytics._core.engine_errors import translate_engine_errors
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.transaction_source import TransactionSource
from synfin_analytics.exceptions import ArgumentError, NotFoundError, require_unique_columns

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from synfin_analytics._core.dates import Period
    from synfin_analytics._core.types import Floats

Frame: TypeAlias = nw.DataFrame[Any] | nw.LazyFrame[Any]

#: Engines whose frames the metrics accept, for messages.
ENGINES = "pandas, polars, pyarrow, DuckDB, Dask or PySpark"
#: What makes DuckDB and Spark read a name as an expression, and DuckDB trim it.
_EXPRESSION_CHARACTERS = re.compile(r"[.`\"]|^\s|\s$")
_TRUNCATION_UNITS = {"minute": "1m", "hour": "1h", "day": "1d", "month": "1mo"}
#: What a message about timestamps says of text.
TEXT_TIMES = (
    " Convert the text to timestamps first, such as with polars' .str.to_datetime() or "
    "pandas.to_datetime()."
)
_UTC_NAMES = {"UTC", "Etc/UTC", "Z", "GMT", "Etc/GMT", "+00:00"}
#: Engines whose time zone belongs to the connection instead of the column, and how to set it.
_SET_UTC = {
    nw.Implementation.DUCKDB: "SET TimeZone = 'UTC' on DuckDB's connection",
    nw.Implementation.PYSPARK: "spark.conf.set('spark.sql.session.timeZone', 'UTC')",
    nw.Implementation.PYSPARK_CONNECT: "spark.conf.set('spark.sql.session.timeZone', 'UTC')",
}


# -- Frames ----------------------------------------------------------------------------------------


def native_frame(df: Any) -> Any:
    """Return the frame that is meant: of an object with transactions, these.

    Examples
    --------
    >>> native_frame([1.5])
    [1.5]
    """
    return df.transactions if isinstance(df, TransactionSource) else df


def is_frame(value: object) -> bool:
    """Whether a value is a DataFrame of any engine, possibly with repeated column names.

    Examples
    --------
    >>> import polars as pl
    >>> is_frame(pl.DataFrame()), is_frame(pl.Series([1.5])), is_frame([1.5])
    (True, False, False)
    """
    value = native_frame(value)
    if nw.dependencies.is_dask_dataframe(value):
        return True
    try:
        nw.from_native(value)  # type: ignore[call-overload]
    except nw.exceptions.DuplicateError:
        return True
    except TypeError:
        return False
    return True


def is_lazy_frame(value: object) -> bool:
    """Whether a value is a DataFrame whose rows are not in memory, or not yet.

    Examples
    --------
    >>> import polars as pl
    >>> is_lazy_frame(pl.LazyFrame()), is_lazy_frame(pl.DataFrame()), is_lazy_frame([1.5])
    (True, False, False)
    """
    if nw.dependencies.is_dask_dataframe(value):
        return True
    try:
        frame: object = nw.from_native(value, pass_through=True)
    except nw.exceptions.DuplicateError:
        return False
    return isinstance(frame, nw.LazyFrame)


def open_frame(df: Any, caller: str) -> Frame:
    """Wrap a frame of any engine except Dask.

    Raises
    ------
    ArgumentError
        ``df`` is not a DataFrame, or has a column name twice; the message names the ``caller``.

    Examples
    --------
    >>> import polars as pl
    >>> open_frame(pl.DataFrame({"amount": [1.5]}), "fraud_rate").columns
    ['amount']
    """
    df = native_frame(df)
    try:
        frame: Frame = nw.from_native(df)
    except nw.exceptions.DuplicateError:
        require_unique_columns(df)
        raise
    except TypeError:
        raise ArgumentError(
            f"The data of {caller} must be a DataFrame of {ENGINES}; got {type(df).__name__}."
        ) from None
    if frame.implementation.is_polars():
        require_thread_pool()
    return frame


def collect(frame: Frame) -> nw.DataFrame[Any]:
    """Compute a lazy frame; one of Spark becomes a pandas frame of Arrow types."""
    if isinstance(frame, nw.DataFrame):
        return frame
    with translate_engine_errors():
        if not frame.implementation.is_spark_like():
            return frame.collect()
        # Through Arrow, which keeps integer columns with NULLs as integers.
        table = frame.collect("pyarrow").to_arrow()
    import pandas as pd

    collected: nw.DataFrame[Any] = nw.from_native(
        table.to_pandas(types_mapper=pd.ArrowDtype), eager_only=True
    )
    return collected


# -- Names of columns ------------------------------------------------------------------------------


def column_names(df: Any, caller: str) -> list[str]:
    """Return the column names of a frame of any engine; those of Dask must be unique."""
    if nw.dependencies.is_dask_dataframe(df):
        require_unique_columns(df)
        return [str(name) for name in df.columns]
    return list_columns(open_frame(df, caller))


def list_columns(frame: Frame) -> list[str]:
    """Return the column names of a wrapped frame, also of types that narwhals does not know."""
    with translate_engine_errors():
        return frame.collect_schema().names()


def check_columns(names: Sequence[str], available: Sequence[str]) -> None:
    """Raise a NotFoundError for a missing column; the message suggests the nearest name."""
    for name in names:
        if name not in available:
            raise NotFoundError("column", name, available, location="the frame")


def rename_for_engine(df: Any, columns: Collection[str], caller: str) -> tuple[Any, dict[str, str]]:
    """Rename columns whose names DuckDB and Spark would read as expressions, such as ``"a.b"``.

    In Spark, names that differ only in case are renamed too: it would not know which is meant.

    Returns
    -------
    tuple
        The frame, and a mapping of ``columns`` to their names in it.
    """
    mapping = {name: name for name in columns}
    if nw.dependencies.is_dask_dataframe(df):
        return df, mapping
    frame = open_frame(df, caller)
    if frame.implementation not in _SET_UTC:
        return df, mapping
    available = list_columns(frame)
    twins = _names_by_case(available)
    if not any(name in twins or _EXPRESSION_CHARACTERS.search(name) for name in columns):
        return df, mapping
    check_columns(list(columns), available)
    used_names = {name.casefold() for name in available}
    for name in columns:
        safe_name = _EXPRESSION_CHARACTERS.sub("_", name)
        while (safe_name != name or name in twins) and safe_name.casefold() in used_names:
            safe_name += "_"
        mapping[name] = safe_name
        used_names.add(safe_name.casefold())
    if frame.implementation.is_spark_like():
        return df.toDF(*(mapping.get(name, name) for name in available)), mapping
    changed = {name: safe_name for name, safe_name in mapping.items() if name != safe_name}
    return frame.rename(changed).to_native(), mapping


def _names_by_case(names: Collection[str]) -> set[str]:
    """Return the names that differ from another one only in case."""
    counts = Counter(name.casefold() for name in names)
    return {name for name in names if counts[name.casefold()] > 1}


# -- Types of columns ------------------------------------------------------------------------------


def normalize_types(frame: Frame) -> Frame:
    """Convert pandas and pyarrow columns to types that narwhals and Arrow's kernels support.

    In pandas, time zones become UTC, since narwhals recognizes only some of them. Arrow
    dictionaries are decoded, and views of strings or bytes become plain arrays.
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
            plain_type = _plain_type(dtype.pyarrow_dtype, "UTC")
            if plain_type != dtype.pyarrow_dtype:
                array = native[name].array.__arrow_array__().cast(plain_type)
                changed[name] = pd.arrays.ArrowExtensionArray(array)
    if not changed:
        return frame
    normalized: nw.DataFrame[Any] = nw.from_native(native.assign(**changed), eager_only=True)
    return normalized


def _plain_type(data_type: pa.DataType, zone: str | None = None) -> pa.DataType:
    """Return the Arrow type that holds the same values and is supported everywhere."""
    import pyarrow as pa

    if pa.types.is_dictionary(data_type):
        return _plain_type(data_type.value_type, zone)
    if pa.types.is_string_view(data_type):
        return pa.large_string()
    if pa.types.is_binary_view(data_type):
        return pa.large_binary()
    if pa.types.is_timestamp(data_type) and data_type.tz is not None and zone is not None:
        return pa.timestamp(data_type.unit, zone)
    return data_type


def coerce_object_columns(frame: Frame, value_columns: Collection[str]) -> Frame:
    """Convert the ``object`` columns of pandas to the type of their values, such as Decimal.

    String columns that are not among ``value_columns`` stay: they are groups, whose type is part of
    the result.
    """
    if not frame.implementation.is_pandas():
        return frame
    import pandas as pd
    import pyarrow as pa

    native = frame.to_native().copy(deep=False)
    for name, dtype in frame.collect_schema().items():
        if native[name].dtype != object or (dtype == nw.String and name not in value_columns):
            continue
        try:
            array = pa.array(native[name], from_pandas=True)
        except OverflowError:
            raise ArgumentError(
                f"Column {name!r} must hold numbers of at most 64 bits; got larger integers."
            ) from None
        except pa.ArrowException:
            raise ArgumentError(
                f"Column {name!r} must hold values of one type; it mixes several."
            ) from None
        array = array.cast(_plain_type(array.type, "UTC"))
        native[name] = pd.arrays.ArrowExtensionArray(array)
    coerced: nw.DataFrame[Any] = nw.from_native(native, eager_only=True)
    return coerced


# -- Values of columns -----------------------------------------------------------------------------


def to_float(dtype: nw.dtypes.DType, name: str, must_be: str, remedy: str = "") -> nw.Expr:
    """Return an expression for a column as a double with NaN as NULL, the same in every engine.

    Raises
    ------
    ArgumentError
        The column is not numeric; ``must_be`` completes the message, ``remedy`` ends it.
    """
    column = nw.col(name)
    if dtype == nw.Boolean:
        return column.cast(nw.Int64).cast(nw.Float64)
    if dtype == nw.Unknown:  # the type of a column of NULLs only
        return column.cast(nw.Float64)
    if not dtype.is_numeric():
        raise ArgumentError(f"Column {name!r} must be {must_be}; it is {dtype}.{remedy}")
    if dtype in (nw.Int64, nw.UInt64):
        # Arrow refuses to cast integers that no double equals, but divides them.
        column = column / 1
    return column.cast(nw.Float64).fill_nan(None)


def truncate_time(frame: Frame, timestamp: str, period: Period) -> nw.Expr:
    """Return an expression for timestamps, truncated to the unit of ``period`` in UTC."""
    return to_utc(frame, timestamp).dt.truncate(_TRUNCATION_UNITS[period.unit])


def to_utc(frame: Frame, timestamp: str, purpose: str = "to be grouped into periods") -> nw.Expr:
    """Return an expression for timestamps in UTC, without a zone; a naive one is taken as UTC.

    ``purpose`` is what they are needed for, in messages.
    """
    dtype, moment = frame.collect_schema()[timestamp], nw.col(timestamp)
    zone = _engine_zone(frame, dtype)
    if zone not in _UTC_NAMES and frame.implementation in _SET_UTC:
        raise ArgumentError(
            f"The engine's time zone must be UTC for timestamps {purpose}; got {zone!r}. Run "
            f"{_SET_UTC[frame.implementation]}."
        )
    if dtype == nw.Date or is_empty_by_type(frame, timestamp, purpose):
        return moment.cast(nw.Datetime("us"))
    if not isinstance(dtype, nw.Datetime):
        raise ArgumentError(
            f"Column {timestamp!r} must hold timestamps {purpose}; it is {dtype}."
            + (TEXT_TIMES if dtype == nw.String else "")
        )
    if dtype.time_zone is not None:
        if zone not in _UTC_NAMES:
            moment = moment.dt.convert_time_zone("UTC")
        moment = moment.dt.replace_time_zone(None)
    return moment


def is_empty_by_type(frame: Frame, name: str, purpose: str) -> bool:
    """Whether a column has the type of one that has NULLs only.

    Raises
    ------
    ArgumentError
        narwhals does not know its type, such as DuckDB's TIMESTAMPTZ_NS; ``purpose`` as for
        :func:`to_utc`.

    Examples
    --------
    >>> import pyarrow as pa
    >>> frame = nw.from_native(pa.table({"known": pa.nulls(2)}))
    >>> is_empty_by_type(frame, "known", "to be read")
    True
    """
    if frame.collect_schema()[name] != nw.Unknown:
        return False
    native: Any = frame.select(name).to_native()
    if frame.implementation.is_duckdb():
        kind = str(native.types[0])
    elif frame.implementation.is_spark_like():
        kind = native.schema[0].dataType.simpleString()
    elif frame.implementation.is_pyarrow():
        kind = str(native.schema[0].type)
    elif frame.implementation.is_polars():
        kind = str(native.lazy().collect_schema()[name])
    else:
        kind = str(native[name].dtype)
    if kind.strip('"').removesuffix("[pyarrow]").lower() in {"null", "void"}:
        return True
    raise ArgumentError(
        f"Column {name!r} must hold timestamps {purpose}; it is {kind}, which cannot be read. Cast "
        "it, such as to TIMESTAMPTZ in DuckDB."
    )


def time_literal(frame: Frame, moment: dt.datetime) -> nw.Expr:
    """Return an expression for a moment, to be compared with :func:`to_utc` of a column."""
    # Spark would take a time without a zone as one of Python's time zone.
    zone = dt.UTC if frame.implementation.is_spark_like() else None
    return nw.lit(moment.astimezone(dt.UTC).replace(tzinfo=zone))


def _engine_zone(frame: Frame, dtype: nw.dtypes.DType) -> str:
    """Return the zone in which an engine truncates a column.

    Spark uses that of its session, for naive timestamps too.
    """
    if frame.implementation.is_spark_like():
        return str(frame.to_native().sparkSession.conf.get("spark.sql.session.timeZone"))
    return getattr(dtype, "time_zone", None) or "UTC"


def has_utc_session(frame: Frame) -> bool:
    """Whether the session of a frame of Spark has UTC as its time zone."""
    return _engine_zone(frame, nw.Date()) in _UTC_NAMES


def to_numpy_time(timestamps: nw.Series[Any]) -> NDArray[np.datetime64]:
    """Return timestamps as a NumPy array without their zone, which must be UTC if there is one."""
    if getattr(timestamps.dtype, "time_zone", None) is not None:
        timestamps = timestamps.dt.replace_time_zone(None)
    return timestamps.to_numpy().astype("datetime64[us]")


def to_numpy_float(sums: nw.Series[Any]) -> Floats:
    """Return sums as doubles; the sum of no rows is 0 even in engines that return NULL."""
    return sums.cast(nw.Float64).fill_null(0).to_numpy().astype(np.float64)


# -- Labels: true or false, 1 or 0, or missing -----------------------------------------------------


def label_to_float(dtype: nw.dtypes.DType, name: str) -> nw.Expr:
    """Select a label as a double, NULL where it is missing; its values are not checked yet.

    Raises
    ------
    ArgumentError
        The type of the column holds neither booleans nor numbers.
    """
    remedy = " Compare texts with the one that means fraud, such as y == 'yes'."
    if dtype not in (nw.String, nw.Categorical, nw.Enum):
        remedy = ""
    return to_float(dtype, name, "a label: true or false, 1 or 0", remedy)


def is_invalid_label(label: nw.Expr) -> nw.Expr:
    """Select which labels, as doubles, are neither 0, 1 nor missing.

    Examples
    --------
    >>> import narwhals as nw
    >>> import polars as pl
    >>> frame = nw.from_native(pl.DataFrame({"fraud": [0.0, 1.0, None, 2.0]}))
    >>> frame.select(is_invalid_label(nw.col("fraud")))["fraud"].to_list()
    [False, False, False, True]
    """
    filled = label.fill_null(0)
    return (filled != 0) & (filled != 1)


def check_labels(labels: Floats, name: str) -> None:
    """Check an array of labels; NaN is missing.

    Raises
    ------
    ArgumentError
        A label is neither 0, 1 nor missing.

    Examples
    --------
    >>> check_labels(np.array([0, 1, np.nan, 2]), "fraud")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: Column 'fraud' must be a label (true or false, 1 or
    0, or missing); 1 row holds another value.
    """
    check_n_invalid_labels(int((~np.isnan(labels) & (labels != 0) & (labels != 1)).sum()), name)


def check_n_invalid_labels(
    n_invalid: int, name: str, *, first_row: int | None = None, described: str = "Column {!r}"
) -> None:
    """Raise an ArgumentError unless the number of invalid labels is 0.

    Parameters
    ----------
    n_invalid
        Number of invalid labels.
    name, described
        Name of the column, and how the message refers to it.
    first_row
        The first of them, if it is known.
    """
    if n_invalid:
        rows = "1 row holds" if n_invalid == 1 else f"{n_invalid:,} rows hold"
        first = "" if first_row is None else f" (the first is row {first_row:,})"
        raise ArgumentError(
            f"{described.format(name)} must be a label (true or false, 1 or 0, or missing); {rows} "
            f"another value{first}."
        )
