"""From a batch of the source to rows in the types of the table, and the errors of the others."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

import polars as pl

from synfin_analytics._core.validation.columns import select_cells
from synfin_analytics._core.validation.outcome import CellErrors
from synfin_analytics._core.validation.validate import closed_set_reason, validate_column
from synfin_analytics.io.derive import derive_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.io.sources import Source, SourceBatch

#: Column with the position in the source, next to those of the table.
ROW = "__row__"

REPEATED_KEY = "repeats the key of another row of the data"


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
        self.errors.append(
            CellErrors.of_cells(
                ", ".join(columns),
                reason,
                rows[ROW],
                rows.select(columns).rows() if len(columns) > 1 else rows[columns[0]],
                personal=any(self.spec.columns[name].personal for name in columns),
            )
        )
        self.rejected |= mask

    @property
    def accepted(self) -> pl.DataFrame:
        """The rows to load."""
        return self.frame.filter(~self.rejected)

    @property
    def rejected_rows(self) -> pl.Series:
        """Positions of the rejected rows in the source."""
        return self.frame.filter(self.rejected)[ROW]


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
        if name in batch.failed:
            texts, reason = batch.failed[name]
            failed = texts.is_not_null()
            errors.append(
                CellErrors.of_cells(
                    target,
                    reason,
                    rows.filter(failed),
                    texts.drop_nulls(),
                    personal=column.personal,
                )
            )
            rejected |= failed
            validated.errors = [
                (mask & ~failed, other_reason) for mask, other_reason in validated.errors
            ]
        for mask, reason in validated.errors:
            if not mask.any():
                continue
            errors.append(
                CellErrors.of_cells(
                    target,
                    reason,
                    rows.filter(mask),
                    select_cells(cells, mask),
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
    ordered = keys.with_columns(rejected.alias("__rejected__")).with_row_index("__position__")
    ordered = ordered.filter(pl.all_horizontal(pl.col(list(key)).is_not_null()))
    ordered = ordered.sort("__rejected__", "__position__")
    repeated = ordered.filter(~pl.struct(list(key)).is_first_distinct())["__position__"]
    return pl.int_range(frame.height, eager=True, dtype=pl.UInt32).is_in(repeated.to_list())


def fill_defaults(rows: pl.DataFrame, spec: TableSpec) -> pl.DataFrame:
    """Fill NULL in timestamps that have a default in the database: the time now."""
    now = dt.datetime.now(dt.UTC)
    names = [
        name
        for name, column in spec.columns.items()
        if column.defaulted and column.kind == "timestamp" and name in rows.columns
    ]
    return rows.with_columns(pl.col(names).fill_null(now)) if names else rows
