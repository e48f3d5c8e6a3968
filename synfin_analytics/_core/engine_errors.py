"""Errors of an engine that computes a frame of the caller: one sentence, without values."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

from synfin_analytics.exceptions import ArgumentError, ConfigurationError, SynfinError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: An error of ours at the end of a traceback of Python, in an engine's message.
_OWN_ERROR = re.compile(r".*synfin_analytics\.exceptions\.\w+: (.+?)(?:\n\n.*|\s*)", re.DOTALL)
#: The message of PySpark, or of Python, about workers without pyarrow.
_NO_PYARROW = re.compile(r"No module named 'pyarrow|PACKAGE_NOT_INSTALLED\] PyArrow", re.IGNORECASE)
_WORKER_ERROR = re.compile(r"RuntimeError: (The Python of a worker .*)")
#: What polars appends to an error of a Python function.
_POLARS_CONTEXT = "\n\nThis error occurred "
_MODULES = {
    "polars": "polars",
    "narwhals": "polars",
    "duckdb": "DuckDB",
    "_duckdb": "DuckDB",
    "pyspark": "Spark",
}
#: What the frame of an engine is called.
_FRAMES = {"polars": "LazyFrame", "DuckDB": "relation", "Spark": "DataFrame"}


@contextlib.contextmanager
def translate_engine_errors() -> Iterator[None]:
    """Raise a SynfinError if polars, DuckDB or Spark cannot compute a frame of the caller.

    Examples
    --------
    >>> import polars as pl
    >>> with translate_engine_errors():
    ...     pl.LazyFrame({"p": ["?"]}).select(pl.col("p").cast(pl.Float64)).collect()
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: polars cannot compute this LazyFrame: conversion \
from `str` to `f64` failed in column 'p' for 1 out of 1 values (InvalidOperationError). Correct \
the expressions of the frame.
    """
    try:
        yield
    except SynfinError as error:
        message, context, _ = str(error).partition(_POLARS_CONTEXT)
        if context:
            error.args = (message,)
        raise
    except FileNotFoundError as error:
        raise ArgumentError(
            f"A file of this frame does not exist: {_missing_path(error)}. Correct its path."
        ) from None
    except Exception as error:
        translated = _translate(error)
        if translated is None:
            raise
        raise translated from None


@contextlib.contextmanager
def translate_dask_errors(columns: Iterable[object]) -> Iterator[None]:
    """Raise a SynfinError if Dask cannot compute a DataFrame of the caller.

    The error of a partition is its cause: it may be any, and tell values. What a worker lacks is a
    ConfigurationError.

    Parameters
    ----------
    columns
        Columns of the frame, which may be named.

    Examples
    --------
    >>> with translate_dask_errors(["amount", "timestamp"]):
    ...     raise KeyError("['amount'] not in index")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: Dask cannot compute this DataFrame: KeyError in a \
partition, about 'amount'. Give all its partitions the columns and types of the frame.
    """
    try:
        yield
    except (SynfinError, MemoryError, Warning):
        raise
    except Exception as error:
        if worker := _WORKER_ERROR.search(f"{type(error).__name__}: {error}"):
            raise ConfigurationError(worker[1]) from None
        message = str(error).partition("Hint:")[0]  # narwhals' hint lists the columns that exist
        named = [repr(str(name)) for name in columns if repr(str(name)) in message]
        about = f", about {' and '.join(named)}" if named else ""
        raise ArgumentError(
            f"Dask cannot compute this DataFrame: {type(error).__name__} in a partition{about}. "
            "Give all its partitions the columns and types of the frame."
        ) from error


def _translate(error: Exception) -> SynfinError | None:
    if type(error).__module__.partition(".")[0] == "py4j":
        error = _spark_error(error)
    engine = _MODULES.get(type(error).__module__.partition(".")[0])
    if engine is None:
        return None
    text = str(error)
    if worker := _WORKER_ERROR.search(text):
        return ConfigurationError(worker[1], variable="PYSPARK_PYTHON")
    if engine == "Spark" and _NO_PYARROW.search(text):
        return ConfigurationError(
            "The Python of a worker of Spark cannot import pyarrow. Install pyarrow for it, or let "
            "the environment variable PYSPARK_PYTHON name a Python that has it, before Spark "
            "starts.",
            variable="PYSPARK_PYTHON",
        )
    if own := _OWN_ERROR.fullmatch(text):
        return ArgumentError(own[1])
    reason = {"polars": polars_message, "DuckDB": _duckdb_message, "Spark": _spark_message}
    return ArgumentError(
        f"{engine} cannot compute this {_FRAMES[engine]}: {reason[engine](error)} "
        f"({type(error).__name__}). Correct the expressions of the frame."
    )


def _spark_error(error: Any) -> Exception:
    """Return the error of Spark in one of Py4J, whose message has values and the trace of Java."""
    from pyspark.errors.exceptions.captured import UnknownException, convert_exception

    cause, converted = getattr(error, "java_exception", None), error
    while cause is not None:
        converted = convert_exception(cause)
        if not isinstance(converted, UnknownException):
            break
        cause = cause.getCause()
    return converted  # type: ignore[no-any-return]


def polars_message(error: Exception) -> str:
    """Return polars' message without the values, which may be personal.

    Examples
    --------
    >>> polars_message(ValueError('conversion failed for 1 out of 1 values: ["Anna"]'))
    'conversion failed for 1 out of 1 values'
    """
    line = str(error).partition("\n")[0]
    if type(error).__name__ == "ColumnNotFoundError":
        return line.partition(";")[0]
    return re.sub(r"(\[|\").*", "", line).rstrip(" :.")


def _duckdb_message(error: Exception) -> str:
    """Return DuckDB's message without values; names of columns and files stay.

    Examples
    --------
    >>> _duckdb_message(ValueError("Conversion Error: Could not convert string 'Anna' to INT32"))
    "Conversion Error: Could not convert string '…' to INT32"
    >>> _duckdb_message(ValueError("Type INT64 with value 999 can't be cast"))
    "Type INT64 with value … can't be cast"
    """
    line = re.sub(r"(?<= value )\S+", "…", str(error).partition("\n")[0])
    line = re.sub(r'(?<!column )(?<!file )"[^"]*"', '"…"', line)
    return re.sub(r"'.*'", "'…'", line).rstrip(" :.")


def _spark_message(error: Exception) -> str:
    """Return the name of Spark's error, such as CAST_INVALID_INPUT: its message has values."""
    condition = getattr(error, "getCondition", lambda: None)()
    return str(condition or "see the log of Spark")


def _missing_path(error: FileNotFoundError) -> str:
    """Return the path of an error of polars, whose text has it at the end of its first line."""
    path = error.filename or str(error).partition("\n")[0].rpartition("): ")[2]
    return repr(str(path))
