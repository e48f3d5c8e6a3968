"""Rules as a caller gives them: SQL conditions, expressions, boolean columns.

A rule that cannot be evaluated never stops the others: :func:`prepare_rules` returns the sentence
that says why.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import narwhals as nw

from synfin_analytics._core.arguments import format_value
from synfin_analytics._core.dataframes import (
    coerce_object_columns,
    is_invalid_label,
    list_columns,
    normalize_types,
    open_frame,
    rename_for_engine,
    to_float,
)
from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.partitions import select_from_partitions
from synfin_analytics._core.worker_functions import DaskFunction
from synfin_analytics.exceptions import ArgumentError, NotFoundError, SynfinError
from synfin_analytics.rules._conditions import Condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from synfin_analytics._core.dataframes import Frame

#: Whether a rule fires on each row, and on which it could not be computed or is missing (None if
#: that is impossible).
Expressions: TypeAlias = "tuple[nw.Expr, nw.Expr | None, nw.Expr | None]"
#: Rows in which the types of objects are looked up.
_SAMPLE = 1000
#: What cannot be a rule's result: an error of Python's or the machine's own.
_FATAL = (MemoryError, RecursionError)


class RuleSource(Protocol):
    """A rule that can be evaluated."""

    @property
    def name(self) -> str:
        """Name of the rule."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that it reads."""

    @property
    def types(self) -> tuple[tuple[str, nw.dtypes.DType], ...]:
        """Types of columns that matter, for rows in which one has no values."""

    def expressions(self, frame: Frame) -> Expressions:
        """Return what is computed for each row."""


@dataclasses.dataclass(frozen=True)
class ColumnRule:
    """A rule whose result is a column: true or false, 1 or 0, or missing.

    Attributes
    ----------
    name, column
        Names of the rule and of the column.
    computed
        Whether the column is the result of an expression, whose NULL is not worth a sentence.
    """

    name: str
    column: str
    computed: bool = False
    types: tuple[tuple[str, nw.dtypes.DType], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    def expressions(self, frame: Frame) -> Expressions:
        """Return where the column is true, holds another value, and is missing."""
        value = to_float(
            frame.collect_schema()[self.column], self.column, "true or false, 1 or 0, to be a rule"
        )
        missing = None if self.computed else value.is_null()
        return value.fill_null(0) == 1, is_invalid_label(value), missing


@dataclasses.dataclass(frozen=True)
class ConditionRule:
    """A rule whose result is a SQL condition of columns.

    Attributes
    ----------
    name, condition
        Name of the rule, and its condition.
    types
        Types of its columns, for partitions in which one has no values.
    """

    name: str
    condition: Condition
    types: tuple[tuple[str, nw.dtypes.DType], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the condition."""
        return self.condition.columns

    def expressions(self, frame: Frame) -> Expressions:
        """Return where the condition is true, and where it cannot be computed."""
        fires, failed = self.condition.expression(frame)
        return fires, failed, None


def parse_rules(rules: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Parse the rules of a caller.

    Parameters
    ----------
    rules
        A dict of conditions by name, pairs of name and condition, or names of boolean columns.

    Returns
    -------
    tuple
        Conditions by name, and why others cannot be evaluated.

    Raises
    ------
    ArgumentError
        There are no rules, or they are none of these.

    Examples
    --------
    >>> parse_rules([("a", "x > 1"), ("b", "x > 2"), ("b", "x > 3")])
    ({'a': 'x > 1'}, {'b': '2 rules have this name: rename all but one.'})
    """
    pairs: list[Any] = [None]
    if isinstance(rules, Mapping):
        pairs = list(rules.items())
    elif isinstance(rules, list | tuple):
        pairs = [(rule, rule) if isinstance(rule, str) else rule for rule in rules]
    if not pairs:
        raise ArgumentError("`rules` must contain at least one rule; got none.")
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not _is_name(pair[0]):
            raise ArgumentError(
                "`rules` must be a dict of conditions by name, such as {'high amount': "
                "'amount > 500'}, pairs of name and condition, or names of boolean columns; got "
                f"{format_value(rules if pair is None else pair)}."
            )
    names = [name for name, _ in pairs]
    failed = {
        name: f"{names.count(name)} rules have this name: rename all but one."
        for name in names
        if names.count(name) > 1
    }
    return {name: condition for name, condition in pairs if name not in failed}, failed


def _is_name(name: object) -> bool:
    return isinstance(name, str) and bool(name.strip())


@dataclasses.dataclass
class Prepared:
    """Rules that can be evaluated, and the frame that has the columns which they read.

    Attributes
    ----------
    df
        The frame.
    sources
        The rules, in their order.
    failed
        Why others cannot be evaluated, by name.
    """

    df: Any
    sources: list[RuleSource]
    failed: dict[str, str]


def prepare_rules(df: Any, conditions: Mapping[str, Any], caller: str) -> Prepared:
    """Parse each condition, and add the results of expressions to the frame as columns.

    Parameters
    ----------
    df
        A frame of any engine.
    conditions
        By name of the rule.
    caller
        Name of the public function, for messages.
    """
    available = _columns(df, caller)
    prepared = Prepared(df, [], {})
    for name, condition in conditions.items():
        try:
            if isinstance(condition, str):
                prepared.sources.append(_parse_text(name, condition, df, available))
            else:
                column = _free_name(f"__rule_{len(prepared.sources)}", available)
                prepared.df = _attach(prepared.df, condition, column, caller)
                prepared.sources.append(ColumnRule(name, column, computed=True))
        except SynfinError as error:
            prepared.failed[name] = reason(name, error)
    return prepared


def _columns(df: Any, caller: str) -> list[str]:
    if nw.dependencies.is_dask_dataframe(df):
        return [str(name) for name in df.columns]
    return list_columns(open_frame(df, caller))


def _parse_text(name: str, text: str, df: Any, available: Sequence[str]) -> RuleSource:
    """Return the rule of a text: the name of a column, or a SQL condition.

    Raises
    ------
    ArgumentError
        It is neither; or a column has a type, or a name, with which this is not possible.
    """
    if text in available:
        return ColumnRule(name, text)
    condition = Condition.parse(name, text, available)
    _, renamed = rename_for_engine(df, condition.columns, name)
    for column, other in renamed.items():
        if column != other:
            raise ArgumentError(
                f"Column {column!r} must be renamed to be used in a condition on this engine, "
                f"such as to {other!r}."
            )
    rows = df
    if nw.dependencies.is_dask_dataframe(df):
        rows = select_from_partitions(df, condition.columns).head(_SAMPLE, npartitions=-1)
    frame = open_frame(rows, name).select(*condition.columns)
    if frame.implementation.is_pandas():
        frame = frame.head(_SAMPLE)  # the types of objects are those of the values
    frame = coerce_object_columns(normalize_types(frame), condition.columns)
    condition.expression(frame)
    return ConditionRule(name, condition, tuple(frame.collect_schema().items()))


def reason(name: str, error: SynfinError) -> str:
    """Return why a rule cannot be evaluated, without the name of the rule."""
    text = str(error).removeprefix(f"Rule {name!r}: ")
    return text[:1].upper() + text[1:]


def _free_name(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name = f"_{name}"
    return name


# -- Expressions -----------------------------------------------------------------------------------


def _attach(df: Any, condition: Any, column: str, caller: str) -> Any:
    """Add the result of an expression, or a series, to a frame as a boolean column.

    Raises
    ------
    ArgumentError
        The condition is nothing that can be evaluated on the frame, or its result is not boolean.
    """
    if nw.dependencies.is_dask_dataframe(df):
        return _attach_to_dask(df, condition, column, caller)
    frame = open_frame(df, caller)
    if nw.dependencies.is_into_series(condition):
        return _attach_series(frame, nw.from_native(condition, series_only=True), column)
    try:
        added = _with_column(frame, condition, column)
        dtype = None if added is None else added.collect_schema()[column]
    except _FATAL:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the engine raises for an expression
        raise _cannot_be_evaluated(error, list_columns(frame)) from None
    if added is None:
        raise ArgumentError(
            "A rule must be a SQL condition, a boolean column, or an expression of narwhals or of "
            f"the frame's own engine; got {format_value(condition)}."
        )
    _check_boolean(dtype)
    return added.to_native()


def _with_column(frame: Frame, condition: Any, column: str) -> Frame | None:
    """Return the frame with the result of an expression; None if it is no expression."""
    if isinstance(condition, nw.Expr):
        return frame.with_columns(condition.alias(column))
    native: Any = frame.to_native()
    module = type(condition).__module__.partition(".")[0]
    if module == "polars" and frame.implementation.is_polars() and hasattr(condition, "alias"):
        native = native.with_columns(condition.alias(column))
    elif module in {"duckdb", "_duckdb"} and frame.implementation.is_duckdb():
        import duckdb

        native = native.select(duckdb.StarExpression(), condition.alias(column))
    elif module == "pyspark" and frame.implementation.is_spark_like():
        native = native.withColumn(column, condition)
    else:
        return None
    opened: Frame = nw.from_native(native)
    return opened


def _attach_series(frame: Frame, series: nw.Series[Any], column: str) -> Any:
    """Add a boolean series of the same rows, in their order."""
    if not isinstance(frame, nw.DataFrame):
        raise ArgumentError(
            "A series can be a rule of a frame in memory only: name a column, or give an "
            "expression."
        )
    if len(series) != len(frame):
        raise ArgumentError(
            f"A series must have one value for each of the {pluralize(len(frame), 'row')} to be "
            f"a rule; got {len(series):,}."
        )
    _check_boolean(series.dtype)
    if series.implementation != frame.implementation:
        series = nw.new_series(column, series.to_list(), nw.Boolean, backend=frame.implementation)
    return frame.with_columns(series.alias(column)).to_native()


def _attach_to_dask(df: Any, condition: Any, column: str, caller: str) -> Any:
    """Add the result of an expression to each partition, which is a pandas frame."""
    if not isinstance(condition, nw.Expr):
        raise ArgumentError(
            "A rule of a Dask frame must be a SQL condition, a boolean column or an expression of "
            f"narwhals; got {format_value(condition)}."
        )
    _attach(df.head(_SAMPLE, npartitions=-1), condition, column, caller)
    compute = functools.partial(_compute_partition, expression=condition, column=column)
    return df.assign(**{column: df.map_partitions(DaskFunction(compute), meta=(column, "boolean"))})


def _compute_partition(partition: pd.DataFrame, expression: nw.Expr, column: str) -> pd.Series[Any]:
    frame = nw.from_native(partition).select(expression.alias(column))
    result: pd.Series[Any] = frame.to_native()[column].astype("boolean")
    return result


def _check_boolean(dtype: nw.dtypes.DType | None) -> None:
    if dtype != nw.Boolean:
        raise ArgumentError(f"The result of a rule must be boolean; this one is {dtype}.")


def _cannot_be_evaluated(error: Exception, available: Sequence[str]) -> SynfinError:
    """Return the error of an expression; an engine's own message may contain values of rows."""
    missing = _missing_column(error, available)
    if missing is not None:
        return NotFoundError("column", missing, available, location="the frame")
    if isinstance(error, nw.exceptions.ColumnNotFoundError):  # DuckDB's does not name it
        return ArgumentError("The expression uses a column that is not in the frame.")
    return ArgumentError(
        f"The expression cannot be evaluated on this frame ({type(error).__name__}): check its "
        "columns and their types."
    )


def _missing_column(error: Exception, available: Sequence[str]) -> str | None:
    """Return the first column that an engine's message quotes and the frame does not have."""
    if not re.search(r"column|field", type(error).__name__ + str(error), re.IGNORECASE):
        return None
    quoted = re.findall(r"[\"'`]([^\"'`\n]+)[\"'`]", str(error))
    return next((name for name in quoted if name not in available), None)


# -- Rules that fail while they run ----------------------------------------------------------------


def find_failing(df: Any, sources: Sequence[RuleSource], caller: str) -> dict[str, str]:
    """Return why rules raise an error on the rows, by name; each is evaluated alone."""
    failing: dict[str, str] = {}
    for source in sources:
        try:
            is_dask = nw.dependencies.is_dask_dataframe(df)
            rows = select_from_partitions(df, source.columns).compute() if is_dask else df
            opened = normalize_types(open_frame(rows, caller).select(*source.columns))
            opened = coerce_object_columns(opened, source.columns)
            fires, *_ = source.expressions(opened)
            selected = opened.select(fires.fill_null(value=False).cast(nw.Int64).sum().alias("n"))
            if isinstance(selected, nw.LazyFrame):
                selected.collect()
        except _FATAL:
            raise
        except SynfinError as error:
            failing[source.name] = reason(source.name, error)
        except Exception as error:  # noqa: BLE001 - whatever the engine raises for a rule
            failing[source.name] = (
                f"The rule raises an error on these rows ({type(error).__name__}): check the "
                "values that it computes with."
            )
    return failing
