"""What a layout maps a column to, computed row by row so that a row at fault can be refused."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics._core.validation import texts
from synfin_analytics._core.validation.cells import WANTED
from synfin_analytics._core.validation.checks import read_cells
from synfin_analytics._core.validation.faults import HIDDEN
from synfin_analytics._core.validation.spec import ColumnSpec
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io._sources import FAULTY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from synfin_analytics._core.validation.options import ReadOptions

#: Position of a row in the file.
ROW = "__row__"


@dataclasses.dataclass(frozen=True)
class Cells:
    """One column of a table, as the loader reads it and as a user sees it."""

    spec: ColumnSpec
    #: Columns for the loader: the values, and the texts of cells that could not be computed.
    columns: list[pl.Expr]
    #: Texts among the values have yet to be read.
    textual: bool

    @property
    def name(self) -> str:
        """Name of the column of the table."""
        return self.spec.name

    @property
    def reason(self) -> str:
        """Say what is wrong with a cell that could not be computed."""
        return f"is not {WANTED[self.spec.kind]} by the expression of the layout"

    @property
    def faulty(self) -> str | None:
        """Name of the column of texts that could not be computed, if there can be any."""
        return FAULTY + self.name if len(self.columns) > 1 else None


def cells_of(
    source: str | pl.Expr,
    spec: ColumnSpec,
    schema: pl.Schema,
    textual: frozenset[str],
    options: ReadOptions,
) -> Cells:
    """Say how a column of a table comes from the columns of a file.

    Parameters
    ----------
    source
        A column's name, or an expression.
    spec
        The column of the table.
    schema
        Columns and types of the file.
    textual
        Columns of the file whose texts are to be read.
    options
        How they are written.

    Raises
    ------
    ArgumentError
        The expression cannot be computed on columns of such types.
    """
    if isinstance(source, str):
        column = pl.col(source)
        if spec.kind == "text" and _is_code(schema[source]):
            column = column.cast(pl.String)
        return Cells(spec, [column.alias(spec.name)], source in textual)
    roots = columns_of(source, schema)
    computed = Computed(source, spec, {name: schema[name] for name in roots}, textual, options)
    text = any(name in textual for name in roots)
    if not roots or not is_row_by_row(source):
        return Cells(spec, [computed.native().alias(spec.name)], text)
    both = (
        pl.struct(roots)
        .map_batches(computed, return_dtype=computed.dtype, is_elementwise=True)
    )  # fmt: skip
    return Cells(
        spec,
        [
            both.struct.field("value").alias(spec.name),
            both.struct.field("text").alias(FAULTY + spec.name),
        ],
        text,
    )


class Computed:
    """An expression over rows of a file; where it fails, it is tried row by row."""

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
        wants_number = spec.kind in ("integer", "number", "decimal", "moment", "boolean")
        if result is None or (wants_number and result == pl.String):
            # Texts have no arithmetic: `+` would join them. The columns are numbers here.
            candidates = [name for name in roots if name in textual]
            for numbers in _subsets(candidates):
                found = self._probe(numbers)
                if found is not None and found != pl.String:
                    self._numbers, result = numbers, found
                    break
        if result is None:
            raise ArgumentError(
                f"The expression of the layout for {spec.name!r} must be one that its columns "
                f"({', '.join(map(repr, roots))}) allow; got {self._why()}. Columns of a CSV file "
                'are texts: cast them, as in pl.col("cents").cast(pl.Int64) / 100.'
            )
        self._as_text = spec.kind == "text" and _is_code(result)
        self._value = pl.String() if self._as_text else result
        self.dtype = pl.Struct({"value": self._value, "text": pl.String()})

    def native(self) -> pl.Expr:
        """Return the expression for polars itself to compute, on all rows at once."""
        expression = self._expression
        if self._numbers:
            raise ArgumentError(
                f"The expression of the layout for {self._spec.name!r} must cast the texts "
                f"{', '.join(map(repr, self._numbers))} to numbers, since it looks at more than "
                "one row."
            )
        return expression.cast(pl.String) if self._as_text else expression

    def __call__(self, rows: pl.Series) -> pl.Series:
        """Compute values of rows, and the texts of those that have none."""
        frame = rows.struct.unnest()
        faulty = pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
        typed = frame
        if self._numbers:
            typed, faulty = self._as_numbers(frame)
        values = []
        for start, height, value in self._pieces(typed, 0):
            if value is None:
                faulty[start] = True
                value = pl.Series([None] * height, dtype=self._value)
            values.append(value)
        joined = pl.concat(values) if values else pl.Series(dtype=self._value)
        written = pl.Series([None] * frame.height, dtype=pl.String)
        if faulty.any():
            written = pl.Series(
                [
                    _shown(row) if hit else None
                    for row, hit in zip(frame.rows(), faulty, strict=True)
                ],
                dtype=pl.String,
            )
            joined = joined.set(faulty, None)
        return pl.DataFrame({"value": joined, "text": written}).to_struct(rows.name)

    def _pieces(
        self, frame: pl.DataFrame, start: int
    ) -> Iterator[tuple[int, int, pl.Series | None]]:
        """Values of runs of rows; None for a row that has none."""
        if not frame.height:
            return
        try:
            value = self._evaluate(frame)
        except (pl.exceptions.PolarsError, ValueError, ArithmeticError):
            if frame.height == 1:
                yield start, 1, None
                return
            half = frame.height // 2
            yield from self._pieces(frame[:half], start)
            yield from self._pieces(frame[half:], start + half)
        else:
            yield start, frame.height, value

    def _evaluate(self, frame: pl.DataFrame) -> pl.Series:
        value = frame.select(self._expression).to_series()
        if len(value) == 1 < frame.height:
            value = value.new_from_index(0, frame.height)
        return value.cast(self._value)

    def _as_numbers(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        faulty = pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
        columns = []
        for name in self._numbers:
            column = texts.without_blanks(frame[name])
            checked = read_cells(column, _double(name), self._options)
            for mask, _ in checked.faults:
                faulty |= mask
            columns.append(checked.values.alias(name))
        return frame.with_columns(columns), faulty

    def _probe(self, numbers: Sequence[str]) -> pl.DataType | None:
        """Type of the result on no rows, with some columns of texts taken for numbers."""
        types = {
            name: pl.Float64() if name in numbers else dtype for name, dtype in self._roots.items()
        }
        try:
            frame = pl.DataFrame(schema=types)
            return frame.select(self._expression).to_series().dtype
        except (pl.exceptions.PolarsError, TypeError, ValueError):
            return None

    def _why(self) -> str:
        try:
            pl.DataFrame(schema=self._roots).select(self._expression)
        except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
            return str(error).partition("\n")[0]
        return "no result"


def _subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in range(1, min(len(names), 6) + 1):
        yield from itertools.combinations(names, size)


def _is_code(dtype: pl.DataType) -> bool:
    """Whether values of a type are taken for texts as they are: other types are refused."""
    return dtype.is_integer() or dtype in (pl.Categorical, pl.Enum)


def _shown(row: Sequence[Any]) -> str:
    return ", ".join("NULL" if cell is None else str(cell) for cell in row)


# -- What a user sees ------------------------------------------------------------------------------


def typed(cells: Cells, dtype: pl.DataType, options: ReadOptions, source: str) -> pl.Expr:
    """Column in a type of the table, of the loader's columns and of ``ROW``.

    A cell that cannot be read is an error when the column is collected.

    Parameters
    ----------
    cells
        The column, as the loader reads it.
    dtype
        Type of its values.
    options
        How its texts are written.
    source
        What messages call the file.
    """
    spec = cells.spec
    column = pl.col(cells.name)
    unread = cells.textual and dtype == pl.String and spec.kind not in ("text", "json")
    naive = spec.kind == "moment" and dtype in (pl.Date, pl.Datetime("us"), pl.Datetime("ms"))
    if naive and options.timezone is None and cells.faulty is None:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if not (unread or naive or cells.faulty):
        return column
    reader = _Reader(cells, dtype if not (unread or naive) else None, options, source)
    inputs = [column, *([pl.col(cells.faulty)] if cells.faulty else []), pl.col(ROW)]
    read = pl.struct(inputs).map_batches(reader, return_dtype=reader.dtype, is_elementwise=True)
    return read.alias(cells.name)


class _Reader:
    def __init__(
        self, cells: Cells, dtype: pl.DataType | None, options: ReadOptions, source: str
    ) -> None:
        self._cells = cells
        self._read = dtype is None
        self._options = options
        self._source = source
        self._spec = cells.spec
        if cells.spec.kind == "decimal":  # whatever decimals it has: the loader looks at these
            self._spec = _double(cells.name)
        elif cells.spec.kind == "integer":
            self._spec = dataclasses.replace(cells.spec, dtype=pl.Int64())
        self.dtype = self._spec.dtype if dtype is None else dtype

    def __call__(self, rows: pl.Series) -> pl.Series:
        frame = rows.struct.unnest()
        values = frame[self._cells.name]
        if self._cells.faulty:
            self._refuse(frame, frame[self._cells.faulty], self._cells.reason)
        if self._read:
            values = texts.without_blanks(values) if values.dtype == pl.String else values
            checked = read_cells(values, self._spec, self._options)
            for mask, reason in checked.faults:
                self._refuse(frame, frame[self._cells.name].set(~mask, None), reason)
            values = checked.values.cast(self.dtype)
        return values.alias(rows.name)

    def _refuse(self, frame: pl.DataFrame, faulty: pl.Series, reason: str) -> None:
        if faulty.null_count() == len(faulty):
            return
        position = faulty.is_not_null().arg_true()[0]
        value = HIDDEN if self._spec.personal else repr(str(faulty[position])[:40])
        raise ArgumentError(
            f"{self._source}: {self._cells.name} {reason}: row {frame[ROW][position]:,} "
            f"(counted from 0), value {value}. Correct it or give its format; "
            '.load(on_invalid="reject") leaves such rows out.'
        )


def _double(name: str) -> ColumnSpec:
    return ColumnSpec(name, "number", pl.Float64())


# -- What polars knows of an expression ------------------------------------------------------------


def columns_of(expression: pl.Expr, known: Iterable[str]) -> list[str]:
    """Columns among ``known`` that an expression looks at: all, if it selects them by a pattern."""
    tree = _tree(expression)
    if tree is not None and _has_pattern(tree):
        return list(known)
    names = named_columns(expression)
    return [name for name in known if name in names]


def named_columns(expression: pl.Expr) -> list[str]:
    """Columns that an expression names, also several at once as ``pl.col("a", "b")``.

    Examples
    --------
    >>> named_columns(pl.concat_str(pl.col("a", "b"), pl.col("c")))
    ['a', 'b', 'c']
    """
    tree = _tree(expression)
    if tree is None:
        return list(dict.fromkeys(expression.meta.root_names()))
    return list(dict.fromkeys(_named(tree)))


def _tree(expression: pl.Expr) -> Any:
    """Parts of an expression as JSON; None where it holds a function that cannot be written."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # this format may change between versions of polars
            return json.loads(expression.meta.serialize(format="json"))
    except (pl.exceptions.PolarsError, TypeError, AttributeError, ValueError, pickle.PicklingError):
        return None


def _named(tree: Any) -> Iterator[str]:
    if isinstance(tree, list):
        for part in tree:
            yield from _named(part)
    elif isinstance(tree, dict):
        for key, part in tree.items():
            if key == "Column" and isinstance(part, str):
                yield part
            elif key == "ByName":
                yield from part["names"] if part["strict"] else ()
            elif key == "Difference":
                yield from _named(part[0])
            else:
                yield from _named(part)


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


def is_row_by_row(expression: pl.Expr) -> bool:
    """Whether an expression gives each row a value of that row alone.

    Examples
    --------
    >>> is_row_by_row(pl.col("a") / 100), is_row_by_row(pl.col("a") / pl.col("a").max())
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
