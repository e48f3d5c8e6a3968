"""From the source to rows in the types of the table: columns are matched, then cells checked."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics._core.arguments import format_value
from synfin_analytics._core.validation.columns import select_cells
from synfin_analytics._core.validation.outcome import CellErrors
from synfin_analytics._core.validation.validate import closed_set_reason, validate_column
from synfin_analytics.exceptions import (
    ArgumentError,
    InvalidDataError,
    NotFoundError,
    Problem,
    nearest_names,
)
from synfin_analytics.io._source import require_named
from synfin_analytics.io.coerce import derive_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.io._source import Source, SourceBatch

#: Column with the position in the source, next to those of the table.
ROW = "__row__"

REPEATED_KEY = "repeats the key of another row of the data"


# -- Columns -----------------------------------------------------------------------------------


def match_columns(
    source: Source, spec: TableSpec, mapping: Mapping[str, str | None] | None, *, partial: bool
) -> dict[str, str]:
    """Return the column of the table for each column of the data.

    Parameters
    ----------
    source
        The data.
    spec
        The table.
    mapping
        Names in the data to names in the table; None leaves a column out.
    partial
        Required columns may be missing as long as a key is there: rows will be updated.

    Raises
    ------
    NotFoundError
        The mapping names a column that the data do not have.
    ArgumentError
        Two columns of the data would become the same column.
    InvalidDataError
        Columns that the table does not have, or required columns that are missing.
    """
    mapping = _check_mapping(mapping)
    for name in mapping:
        if name not in source.names:
            error = NotFoundError("column", name, source.names, location="the data")
            error.args = (f"{error} {source.note}".rstrip(),)
            raise error
    require_named(source.repeated, mapping)
    targets = {
        name: mapping.get(name, None if name in source.redundant else name) for name in source.names
    }
    used_columns = {name: target for name, target in targets.items() if target is not None}
    names: dict[str, str] = {}
    for name, target in used_columns.items():
        if target in names:
            raise ArgumentError(
                f"The columns {names[target]!r} and {name!r} of the data would both become "
                f"{target!r} of {spec.name!r}: leave one out with columns={{{name!r}: None}}."
            )
        names[target] = name
    unknown = [target for target in used_columns.values() if target not in spec.columns]
    problems = [
        Problem(name, f"is not a column of the table{_hint_for_unknown(name, spec)}", 0)
        for name in unknown
    ]
    required = [column.name for column in spec.columns.values() if column.required]
    if partial and any(set(key) <= set(names) for key in spec.unique):
        required = []
    problems += [
        Problem(
            name,
            f"is required but not in the data{_hint_for_missing(name, unknown, source.index)}",
            0,
        )
        for name in required
        if name not in names
    ]
    if problems:
        raise InvalidDataError(spec.name, problems, source.note)
    return used_columns


def _check_mapping(mapping: Any) -> dict[str, str | None]:
    """Return the mapping by names that are texts, also where those of pandas are numbers."""
    if mapping is not None and not isinstance(mapping, Mapping):
        raise ArgumentError(
            "`columns` must be a dict from columns of the data to columns of the table, such as "
            f"{{'TX_AMOUNT': 'amount'}}; got {format_value(mapping)}."
        )
    return {str(name): target for name, target in (mapping or {}).items()}


def _hint_for_unknown(name: str, spec: TableSpec) -> str:
    if not name:
        return " (does every line end with a separator? columns={'': None} leaves it out)"
    nearest = nearest_names(name, spec.columns)
    return f" (did you mean {' or '.join(nearest)}?)" if nearest else ""


def _hint_for_missing(name: str, unknown: Sequence[str], index: Sequence[str]) -> str:
    if name in index:
        return " (it is the index of the data: reset_index() makes it a column)"
    nearest = nearest_names(name, unknown)
    return f" (is it {nearest[0]!r} of the data?)" if nearest else ""


# -- Rows --------------------------------------------------------------------------------------


@dataclasses.dataclass
class CheckedBatch:
    """Rows in the types of the table; it collects the errors that rows are rejected for."""

    spec: TableSpec
    #: All rows of the batch, rejected ones too, with their position in ``ROW``.
    frame: pl.DataFrame
    #: Which rows are rejected.
    rejected: pl.Series
    errors: list[CellErrors] = dataclasses.field(default_factory=list)

    def reject(self, mask: pl.Series, columns: Sequence[str], reason: str) -> None:
        """Reject the rows under ``mask`` because of their values in ``columns``."""
        if not mask.any():
            return
        rows = self.frame.filter(mask)
        self.errors.append(row_errors(self.spec, rows[ROW], rows.select(columns), reason))
        self.rejected |= mask

    def reject_rows(self, rows: pl.DataFrame, columns: Sequence[str], reason: str) -> None:
        """Reject these rows of the batch because of their values in ``columns``."""
        self.reject(self.frame[ROW].is_in(rows[ROW].implode()), columns, reason)

    @property
    def accepted(self) -> pl.DataFrame:
        """The rows to load."""
        return self.frame.filter(~self.rejected)

    @property
    def rejected_rows(self) -> pl.Series:
        """Positions of the rejected rows in the source."""
        return self.frame.filter(self.rejected)[ROW]


def row_errors(spec: TableSpec, rows: pl.Series, cells: pl.DataFrame, reason: str) -> CellErrors:
    """Describe rows of the source that are rejected because of their ``cells``."""
    return CellErrors.of_cells(
        ", ".join(cells.columns),
        reason,
        rows,
        cells.rows() if cells.width > 1 else cells.to_series(),
        personal=any(spec.columns[name].personal for name in cells.columns),
    )


def check_batches(
    source: Source, spec: TableSpec, targets: Mapping[str, str]
) -> Iterator[CheckedBatch]:
    """Check the batches of a source.

    Parameters
    ----------
    source
        The data.
    spec
        The table.
    targets
        Columns of the table by those of the data.
    """
    for batch in source.batches:
        checked = _check_cells(batch, source, spec, targets)
        _check_rows(checked)
        yield checked


def _check_cells(
    batch: SourceBatch, source: Source, spec: TableSpec, targets: Mapping[str, str]
) -> CheckedBatch:
    """Check and convert every cell."""
    rows = pl.int_range(batch.start, batch.start + batch.height, dtype=pl.Int64, eager=True)
    rejected = pl.repeat(False, batch.height, dtype=pl.Boolean, eager=True)
    errors: list[CellErrors] = []
    converted: list[pl.Series] = [rows.alias(ROW)]
    for name, target in targets.items():
        column = spec.columns[target]
        cells = batch.columns[name]
        validated = validate_column(cells, column, options=source.options_for(name))
        invalid = [(mask, reason, cells) for mask, reason in validated.errors]
        if name in batch.failed:
            texts, reason = batch.failed[name]
            failed = texts.is_not_null()
            invalid = [(mask & ~failed, other_reason, cells) for mask, other_reason, _ in invalid]
            invalid.insert(0, (failed, reason, texts))
        for mask, reason, values in invalid:
            if mask.any():
                errors.append(
                    CellErrors.of_cells(
                        target,
                        reason,
                        rows.filter(mask),
                        select_cells(values, mask),
                        personal=column.personal,
                        closed_set=reason == closed_set_reason(column),
                    )
                )
                rejected |= mask
        converted.append(validated.cells.alias(target))
    return CheckedBatch(spec, derive_columns(pl.DataFrame(converted), spec.name), rejected, errors)


def _check_rows(batch: CheckedBatch) -> None:
    """Check what concerns several cells of a row, or several rows of the batch."""
    frame, spec = batch.frame, batch.spec
    if spec.serial and spec.primary_key in frame.columns:
        batch.reject(
            frame[spec.primary_key].is_null() & ~batch.rejected,
            [spec.primary_key],
            "must not be NULL where the column is present (leave the column out to have rows "
            "numbered)",
        )
    if {"is_correct", "prediction", "ground_truth"} <= set(frame.columns):
        is_correct = frame["prediction"] == frame["ground_truth"]
        batch.reject(
            (frame["is_correct"] != is_correct).fill_null(False),
            ["is_correct"],
            "contradicts prediction and ground_truth",
        )
    for key in spec.unique:
        if set(key) <= set(frame.columns):
            batch.reject(_repeated(frame, key, batch.rejected), key, REPEATED_KEY)


def _repeated(frame: pl.DataFrame, key: Sequence[str], rejected: pl.Series) -> pl.Series:
    """Return which rows repeat the key of another one; an accepted row goes before a rejected."""
    keys = frame.select(key)
    if keys.height == keys.n_unique():
        return pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
    accepted_first = (
        keys.with_row_index("__position__")
        .with_columns(rejected.alias("__rejected__"))
        .sort("__rejected__", maintain_order=True)
    )
    is_complete = pl.all_horizontal(pl.col(list(key)).is_not_null())
    repeated = is_complete & ~pl.struct(list(key)).is_first_distinct()
    return accepted_first.select("__position__", repeated=repeated).sort("__position__")["repeated"]


def fill_defaults(rows: pl.DataFrame, spec: TableSpec) -> pl.DataFrame:
    """Fill NULL in timestamps that have a default in the database: the time now."""
    current_time = dt.datetime.now(dt.UTC)
    names = [
        name
        for name, column in spec.columns.items()
        if column.defaulted and column.kind == "timestamp" and name in rows.columns
    ]
    return rows.with_columns(pl.col(names).fill_null(current_time)) if names else rows
