"""From a batch of anything to rows in the types of the table, and what is wrong with the rest."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING

import polars as pl

from synfin_analytics.exceptions import (
    ArgumentError,
    InvalidDataError,
    NotFoundError,
    Problem,
    nearest_names,
)
from synfin_analytics.frames.checks import check
from synfin_analytics.frames.derive import derive

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synfin_analytics.frames.faults import Faults
    from synfin_analytics.frames.options import ReadOptions
    from synfin_analytics.frames.sources import Batch
    from synfin_analytics.frames.spec import TableSpec

#: Position in the source, kept beside the columns of the table.
ROW = "__row__"


def match_columns(
    names: Sequence[str],
    spec: TableSpec,
    mapping: Mapping[str, str | None] | None,
    *,
    partial: bool = False,
) -> dict[str, str]:
    """Column of the table for each column of the data.

    Parameters
    ----------
    names
        Column names of the data.
    spec
        The table.
    mapping
        Names in the data to names in the table; None leaves a column out.
    partial
        Required columns may be missing, as long as a key is there: rows are to be updated.

    Raises
    ------
    NotFoundError
        The mapping names a column that the data do not have.
    ArgumentError
        Two columns of the data would become the same column.
    InvalidDataError
        Columns that the table does not know, or required ones that are missing.
    """
    mapping = mapping or {}
    for name in mapping:
        if name not in names:
            raise NotFoundError("column", name, names, where="the data")
    targets = {name: mapping.get(name, name) for name in names}
    kept = {name: target for name, target in targets.items() if target is not None}
    seen: dict[str, str] = {}
    for name, target in kept.items():
        if target in seen:
            raise ArgumentError(
                f"The columns {seen[target]!r} and {name!r} of the data would both become "
                f"{target!r} of {spec.name!r}: leave one out with columns={{{name!r}: None}}."
            )
        seen[target] = name
    unknown = [target for target in kept.values() if target not in spec.columns]
    problems = []
    for target in unknown:
        near = nearest_names(target, spec.columns)
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        problems.append(Problem(target, f"is no column of the table{hint}", 0))
    needed = [column for column in spec.columns.values() if column.required]
    if partial and any(set(key) <= set(seen) for key in spec.unique):
        needed = []
    for column in needed:
        if column.name not in seen:
            near = nearest_names(column.name, unknown)
            hint = f" (is it {near[0]!r} of the data?)" if near else ""
            problems.append(Problem(column.name, f"is required, but the data lack it{hint}", 0))
    if problems:
        raise InvalidDataError(spec.name, problems)
    return kept


@dataclasses.dataclass
class Prepared:
    """A batch in the types of the table."""

    #: All rows of the batch, those at fault too, with their position in ``ROW``.
    frame: pl.DataFrame
    #: Which of them are at fault.
    bad: pl.Series

    def refuse(
        self, mask: pl.Series, columns: Sequence[str], reason: str, faults: Faults, spec: TableSpec
    ) -> None:
        """Put the rows under ``mask`` among the bad ones, for the values of ``columns``."""
        if not mask.any():
            return
        rows = self.frame.filter(mask)
        cells = rows.select(columns).rows() if len(columns) > 1 else rows[columns[0]]
        faults.add(
            ", ".join(columns),
            reason,
            rows[ROW],
            cells,
            personal=any(spec.columns[name].personal for name in columns),
        )
        self.bad |= mask

    @property
    def good(self) -> pl.DataFrame:
        """The rows that can be loaded."""
        return self.frame.filter(~self.bad)


def prepare(
    batch: Batch,
    spec: TableSpec,
    targets: Mapping[str, str],
    faults: Faults,
    *,
    options: ReadOptions | None = None,
) -> Prepared:
    """Check and convert every cell of a batch; find keys that it has twice.

    Faults are added to ``faults``.
    """
    rows = pl.int_range(batch.start, batch.start + batch.height, dtype=pl.Int64, eager=True)
    bad = pl.repeat(False, batch.height, dtype=pl.Boolean, eager=True)
    converted: list[pl.Series] = [rows.alias(ROW)]
    for name, target in targets.items():
        column = spec.columns[target]
        cells = batch.columns[name]
        checked = check(cells, column, options=options)
        for mask, reason in checked.faults:
            # pl.Series.filter and a list both serve; a list has no filter of its own.
            found = (
                [cell for cell, hit in zip(cells, mask, strict=True) if hit]
                if isinstance(cells, list)
                else cells.filter(mask)
            )
            faults.add(target, reason, rows.filter(mask), found, personal=column.personal)
            bad |= mask
        values = checked.values.alias(target)
        if column.defaulted and column.kind == "moment":
            values = values.fill_null(dt.datetime.now(dt.UTC))
        converted.append(values)
    prepared = Prepared(derive(pl.DataFrame(converted), spec.name), bad)
    _check_rows(prepared, spec, faults)
    return prepared


def _check_rows(prepared: Prepared, spec: TableSpec, faults: Faults) -> None:
    frame = prepared.frame
    if spec.serial and spec.primary_key in frame.columns:
        prepared.refuse(
            frame[spec.primary_key].is_null() & ~prepared.bad,
            [spec.primary_key],
            "is required where the column is given (leave the column out to have it counted)",
            faults,
            spec,
        )
    if {"is_correct", "prediction", "ground_truth"} <= set(frame.columns):
        truth = frame["prediction"] == frame["ground_truth"]
        prepared.refuse(
            (frame["is_correct"] != truth).fill_null(False),
            ["is_correct"],
            "contradicts prediction and ground_truth",
            faults,
            spec,
        )
    for key in spec.unique:
        if set(key) <= set(frame.columns):
            prepared.refuse(
                _repeats(frame, key, prepared.bad),
                key,
                "repeats the key of another row of the data",
                faults,
                spec,
            )


def _repeats(frame: pl.DataFrame, key: Sequence[str], bad: pl.Series) -> pl.Series:
    """Rows whose key another row has already; a good row goes before a bad one."""
    keys = frame.select(key)
    if keys.height == keys.n_unique():
        return pl.repeat(False, frame.height, dtype=pl.Boolean, eager=True)
    ordered = keys.with_columns(bad.alias("__bad__")).with_row_index("__at__")
    ordered = ordered.filter(pl.all_horizontal(pl.col(list(key)).is_not_null()))
    ordered = ordered.sort("__bad__", "__at__")
    later = ordered.filter(~pl.struct(list(key)).is_first_distinct())["__at__"]
    return pl.int_range(frame.height, eager=True, dtype=pl.UInt32).is_in(later.to_list())
