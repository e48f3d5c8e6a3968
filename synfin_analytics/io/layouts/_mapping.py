"""The columns that a layout maps to, computed so that single rows can be rejected."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics._core.validation.outcome import HIDDEN, KIND_NAMES
from synfin_analytics._core.validation.spec import ColumnSpec
from synfin_analytics._core.validation.validate import empty_as_null, parse_series
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.sources import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from synfin_analytics._core.validation.options import ReadOptions

#: Position of a row in the file.
ROW = "__row__"


@dataclasses.dataclass(frozen=True)
class MappedColumn:
    """One column of a table, computed from columns of a file."""

    spec: ColumnSpec
    #: Columns for the loader: the values, and the texts of cells that could not be computed.
    columns: list[pl.Expr]
    #: Whether texts among the values are to be parsed.
    textual: bool

    @property
    def name(self) -> str:
        """Name of the column of the table."""
        return self.spec.name

    @property
    def reason(self) -> str:
        """Reason against a cell that could not be computed."""
        return f"is not {KIND_NAMES[self.spec.kind]} according to the expression of the layout"

    @property
    def failed(self) -> str | None:
        """Name of the column of texts that could not be computed, if there is one."""
        return FAILED + self.name if len(self.columns) > 1 else None


def map_column(
    source: str | pl.Expr,
    spec: ColumnSpec,
    schema: pl.Schema,
    textual: frozenset[str],
    options: ReadOptions,
) -> MappedColumn:
    """Map columns of a file to a column of a table.

    Parameters
    ----------
    source
        Name of a column of the file, or an expression.
    spec
        The column of the table.
    schema
        Columns and types of the file.
    textual
        Columns of the file whose texts are to be parsed.
    options
        How to parse them.

    Raises
    ------
    ArgumentError
        The expression cannot be computed on columns of such types.
    """
    if isinstance(source, str):
        column = pl.col(source)
        if spec.kind == "text" and _is_code(schema[source]):
            column = column.cast(pl.String)
        return MappedColumn(spec, [column.alias(spec.name)], source in textual)
    roots = columns_used(source, schema)
    computed = _ComputedColumn(
        source, spec, {name: schema[name] for name in roots}, textual, options
    )
    is_textual = any(name in textual for name in roots)
    if not roots or not is_elementwise(source):
        return MappedColumn(spec, [computed.to_native().alias(spec.name)], is_textual)
    values_and_texts = pl.struct(roots).map_batches(
        computed, return_dtype=computed.dtype, is_elementwise=True
    )
    return MappedColumn(
        spec,
        [
            values_and_texts.struct.field("value").alias(spec.name),
            values_and_texts.struct.field("text").alias(FAILED + spec.name),
        ],
        is_textual,
    )


class _ComputedColumn:
    """An expression on rows of a file; where it fails, it is tried row by row."""

    def __init__(
        self,
        expression: pl.Expr,
        spec: ColumnSpec,
        roots: Mapping[str, pl.DataType],
        textual: frozenset[str],
        options: ReadOptions,
    ) -> None:
        self._expression = expression.alias("value")
        self._spec = spec
        self._roots = dict(roots)
        self._options = options
        self._numbers: tuple[str, ...] = ()
        result = self._probe(())
        needs_number = spec.kind in ("integer", "number", "decimal", "timestamp", "boolean")
        if result is None or (needs_number and result == pl.String):
            # Arithmetic on texts fails, or `+` joins them: parse the columns as numbers.
            candidates = [name for name in roots if name in textual]
            for numbers in _subsets(candidates):
                dtype = self._probe(numbers)
                if dtype is not None and dtype != pl.String:
                    self._numbers, result = numbers, dtype
                    break
        if result is None:
            raise ArgumentError(
                f"The expression of the layout for {spec.name!r} must be valid for its columns "
                f"({', '.join(map(repr, roots))}); got {self._error()}. Columns of a CSV file are "
                'texts: cast them, as in pl.col("cents").cast(pl.Int64) / 100.'
            )
        self._as_text = spec.kind == "text" and _is_code(result)
        self._value = pl.String() if self._as_text else result
        self.dtype = pl.Struct({"value": self._value, "text": pl.String()})

    def to_native(self) -> pl.Expr:
        """Return the expression for polars to compute on all rows at once."""
        expression = self._expression
        if self._numbers:
            raise ArgumentError(
                f"The expression of the layout for {self._spec.name!r} must cast the texts "
                f"{', '.join(map(repr, self._numbers))} to numbers, because it uses more than one "
                "row."
            )
        return expression.cast(pl.String) if self._as_text else expression

    def __call__(self, rows: pl.Series) -> pl.Series:
        """Compute the values of rows, and the texts of those that have none."""
        frame = rows.struct.unnest()
        failed = pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
        parsed = frame
        if self._numbers:
            parsed, failed = self._parse_numbers(frame)
        parts = []
        for start, height, part in self._evaluate_parts(parsed, 0):
            if part is None:
                failed[start] = True
                part = pl.Series([None] * height, dtype=self._value)
            parts.append(part)
        values = pl.concat(parts) if parts else pl.Series(dtype=self._value)
        texts = pl.Series([None] * frame.height, dtype=pl.String)
        if failed.any():
            texts = pl.Series(
                [
                    _format_row(row) if has_failed else None
                    for row, has_failed in zip(frame.rows(), failed, strict=True)
                ],
                dtype=pl.String,
            )
            values = values.set(failed, None)
        return pl.DataFrame({"value": values, "text": texts}).to_struct(rows.name)

    def _evaluate_parts(
        self, frame: pl.DataFrame, start: int
    ) -> Iterator[tuple[int, int, pl.Series | None]]:
        """Yield the values of runs of rows; None for a row that has none."""
        if not frame.height:
            return
        try:
            value = self._evaluate(frame)
        except (pl.exceptions.PolarsError, ValueError, ArithmeticError):
            if frame.height == 1:
                yield start, 1, None
                return
            half = frame.height // 2
            yield from self._evaluate_parts(frame[:half], start)
            yield from self._evaluate_parts(frame[half:], start + half)
        else:
            yield start, frame.height, value

    def _evaluate(self, frame: pl.DataFrame) -> pl.Series:
        value = frame.select(self._expression).to_series()
        if len(value) == 1 < frame.height:
            value = value.new_from_index(0, frame.height)
        return value.cast(self._value)

    def _parse_numbers(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        failed = pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
        columns = []
        for name in self._numbers:
            column = empty_as_null(frame[name])
            validated = parse_series(column, _double(name), self._options)
            for mask, _ in validated.errors:
                failed |= mask
            columns.append(validated.cells.alias(name))
        return frame.with_columns(columns), failed

    def _probe(self, numbers: Sequence[str]) -> pl.DataType | None:
        """Return the type of the result on no rows, with some columns of texts as numbers."""
        types = {
            name: pl.Float64() if name in numbers else dtype for name, dtype in self._roots.items()
        }
        try:
            frame = pl.DataFrame(schema=types)
            return frame.select(self._expression).to_series().dtype
        except (pl.exceptions.PolarsError, TypeError, ValueError):
            return None

    def _error(self) -> str:
        try:
            pl.DataFrame(schema=self._roots).select(self._expression)
        except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
            return str(error).partition("\n")[0]
        return "no result"


def _subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in range(1, min(len(names), 6) + 1):
        yield from itertools.combinations(names, size)


def _is_code(dtype: pl.DataType) -> bool:
    """Whether values of a type are accepted as texts; other types are rejected."""
    return dtype.is_integer() or dtype in (pl.Categorical, pl.Enum)


def _format_row(row: Sequence[Any]) -> str:
    return ", ".join("NULL" if cell is None else str(cell) for cell in row)


# -- The column as a user sees it ------------------------------------------------------------------


def parse_column(
    mapped: MappedColumn, dtype: pl.DataType, options: ReadOptions, source: str
) -> pl.Expr:
    """Return a column in a type of the table, computed from the loader's columns and ``ROW``.

    A cell that cannot be parsed is an error when the column is collected.

    Parameters
    ----------
    mapped
        The column for the loader.
    dtype
        Type of its values.
    options
        How to parse its texts.
    source
        Name of the file in messages.
    """
    spec = mapped.spec
    column = pl.col(mapped.name)
    is_text = mapped.textual and dtype == pl.String and spec.kind not in ("text", "json")
    is_naive = spec.kind == "timestamp" and dtype in (pl.Date, pl.Datetime("us"), pl.Datetime("ms"))
    if is_naive and options.timezone is None and mapped.failed is None:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if not (is_text or is_naive or mapped.failed):
        return column
    parser = _CellParser(mapped, None if is_text or is_naive else dtype, options, source)
    inputs = [column, *([pl.col(mapped.failed)] if mapped.failed else []), pl.col(ROW)]
    parsed = pl.struct(inputs).map_batches(parser, return_dtype=parser.dtype, is_elementwise=True)
    return parsed.alias(mapped.name)


class _CellParser:
    """Parses the cells of a column, and raises an error for the first invalid one."""

    def __init__(
        self, mapped: MappedColumn, dtype: pl.DataType | None, options: ReadOptions, source: str
    ) -> None:
        self._mapped = mapped
        self._parses = dtype is None
        self._options = options
        self._source = source
        self._spec = mapped.spec
        if mapped.spec.kind == "decimal":  # with any number of decimals: the loader checks them
            self._spec = _double(mapped.name)
        elif mapped.spec.kind == "integer":
            self._spec = dataclasses.replace(mapped.spec, dtype=pl.Int64())
        self.dtype = self._spec.dtype if dtype is None else dtype

    def __call__(self, rows: pl.Series) -> pl.Series:
        frame = rows.struct.unnest()
        values = frame[self._mapped.name]
        if self._mapped.failed:
            self._raise_first(frame, frame[self._mapped.failed], self._mapped.reason)
        if self._parses:
            values = empty_as_null(values) if values.dtype == pl.String else values
            validated = parse_series(values, self._spec, self._options)
            for mask, reason in validated.errors:
                self._raise_first(frame, frame[self._mapped.name].set(~mask, None), reason)
            values = validated.cells.cast(self.dtype)
        return values.alias(rows.name)

    def _raise_first(self, frame: pl.DataFrame, invalid: pl.Series, reason: str) -> None:
        """Raise an error for the first cell that is not NULL, if there is one."""
        if invalid.null_count() == len(invalid):
            return
        position = invalid.is_not_null().arg_true()[0]
        value = HIDDEN if self._spec.personal else repr(str(invalid[position])[:40])
        raise ArgumentError(
            f"{self._source}: {self._mapped.name} {reason}: row {frame[ROW][position]:,} "
            f"(counted from 0), value {value}. Correct it or pass its format; "
            '.load(on_invalid="reject") leaves such rows out.'
        )


def _double(name: str) -> ColumnSpec:
    return ColumnSpec(name, "number", pl.Float64())


# -- Properties of an expression -------------------------------------------------------------------


def columns_used(expression: pl.Expr, names: Iterable[str]) -> list[str]:
    """Return the columns among ``names`` that an expression uses: all, if it has a pattern."""
    tree = _parse_tree(expression)
    if tree is not None and _has_pattern(tree):
        return list(names)
    named = columns_named(expression)
    return [name for name in names if name in named]


def columns_named(expression: pl.Expr) -> list[str]:
    """Return the columns that an expression names, also several at once as ``pl.col("a", "b")``.

    Examples
    --------
    >>> columns_named(pl.concat_str(pl.col("a", "b"), pl.col("c")))
    ['a', 'b', 'c']
    """
    tree = _parse_tree(expression)
    if tree is None:
        return list(dict.fromkeys(expression.meta.root_names()))
    return list(dict.fromkeys(_find_names(tree)))


def _parse_tree(expression: pl.Expr) -> Any:
    """Return the nodes of an expression; None if it has a function that cannot be serialized."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # this format may change between versions of polars
            return json.loads(expression.meta.serialize(format="json"))
    except (pl.exceptions.PolarsError, TypeError, AttributeError, ValueError, pickle.PicklingError):
        return None


def _find_names(tree: Any) -> Iterator[str]:
    if isinstance(tree, list):
        for part in tree:
            yield from _find_names(part)
    elif isinstance(tree, dict):
        for key, part in tree.items():
            if key == "Column" and isinstance(part, str):
                yield part
            elif key == "ByName":
                yield from part["names"] if part["strict"] else ()
            elif key == "Difference":
                yield from _find_names(part[0])
            else:
                yield from _find_names(part)


_PATTERNS = {"ByDType", "Matches", "ByIndex", "Difference", "ExclusiveOr", "Empty", "Intersect"}


def _has_pattern(tree: Any) -> bool:
    if isinstance(tree, list):
        return any(map(_has_pattern, tree))
    if isinstance(tree, dict):
        return any(
            key in _PATTERNS
            or (key == "Selector" and part == "Wildcard")
            or (key == "ByName" and not part["strict"])
            or _has_pattern(part)
            for key, part in tree.items()
        )
    return False


def is_elementwise(expression: pl.Expr) -> bool:
    """Whether an expression computes each value from its own row only.

    Examples
    --------
    >>> is_elementwise(pl.col("a") / 100), is_elementwise(pl.col("a") / pl.col("a").max())
    (True, False)
    """
    try:
        parts = [expression]
        while parts:
            part = parts.pop()
            if not part.meta.is_row_separable():
                return False
            parts += part.meta.pop()
    except pl.exceptions.PolarsError:  # of functions in Python, and of several columns at once
        return False
    return True
