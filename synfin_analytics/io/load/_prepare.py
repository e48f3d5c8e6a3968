"""From a batch of anything to rows in the types of the table, and what is wrong with the rest."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from synfin_analytics._core.arguments import format_value
from synfin_analytics._core.validation.checks import check, closed_set
from synfin_analytics._core.validation.columns import picked
from synfin_analytics.exceptions import (
    ArgumentError,
    InvalidDataError,
    NotFoundError,
    Problem,
    nearest_names,
)
from synfin_analytics.io._derive import derive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synfin_analytics._core.validation.faults import Faults
    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.io._sources import Batch

#: Position in the source, kept beside the columns of the table.
ROW = "__row__"


def match_columns(
    names: Sequence[str],
    spec: TableSpec,
    mapping: Mapping[str, str | None] | None,
    *,
    partial: bool = False,
    index: Sequence[str] = (),
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
    index
        Names of the index of a pandas frame, which does not count as columns.

    Raises
    ------
    NotFoundError
        The mapping names a column that the data do not have.
    ArgumentError
        Two columns of the data would become the same column.
    InvalidDataError
        Columns that the table does not know, or required ones that are missing.
    """
    mapping = _by_name(mapping)
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
        hint = _hint_of_unknown(target, spec)
        problems.append(Problem(target, f"is not a column of the table{hint}", 0))
    needed = [column for column in spec.columns.values() if column.required]
    if partial and any(set(key) <= set(seen) for key in spec.unique):
        needed = []
    for column in needed:
        if column.name not in seen:
            hint = _hint(column.name, unknown, index)
            problems.append(Problem(column.name, f"is required; the data do not have it{hint}", 0))
    if problems:
        raise InvalidDataError(spec.name, problems)
    return kept


def _by_name(mapping: Any) -> dict[str, str | None]:
    """Return the mapping of columns; those of pandas may be named by numbers, but not here."""
    if mapping is not None and not isinstance(mapping, Mapping):
        raise ArgumentError(
            "`columns` must be a dict from columns of the data to columns of the table, such as "
            f"{{'TX_AMOUNT': 'amount'}}; got {format_value(mapping)}."
        )
    return {str(name): target for name, target in (mapping or {}).items()}


def _hint_of_unknown(name: str, spec: TableSpec) -> str:
    """Say what a column may be that the table does not have."""
    if not name:
        return " (does every line end with a separator? columns={'': None} leaves it out)"
    near = nearest_names(name, spec.columns)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _hint(name: str, unknown: Sequence[str], index: Sequence[str]) -> str:
    """Where a required column may be that the data do not have."""
    if name in index:
        return " (it is the index of the data: reset_index() makes it a column)"
    near = nearest_names(name, unknown)
    return f" (is it {near[0]!r} of the data?)" if near else ""


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
    options_of: Callable[[str], ReadOptions | None],
) -> Prepared:
    """Check and convert every cell of a batch; find keys that it has twice.

    Parameters
    ----------
    batch
        Rows of the source.
    spec
        The table.
    targets
        Columns of the table by those of the data.
    faults
        What is wrong with the cells is added here.
    options_of
        How the texts of a column of the data are written, where they have yet to be parsed.
    """
    rows = pl.int_range(batch.start, batch.start + batch.height, dtype=pl.Int64, eager=True)
    bad = pl.repeat(False, batch.height, dtype=pl.Boolean, eager=True)
    converted: list[pl.Series] = [rows.alias(ROW)]
    for name, target in targets.items():
        column = spec.columns[target]
        cells = batch.columns[name]
        checked = check(cells, column, options=options_of(name))
        if name in batch.faulty:
            texts, reason = batch.faulty[name]
            failed = texts.is_not_null()
            faults.add(
                target, reason, rows.filter(failed), texts.drop_nulls(), personal=column.personal
            )
            bad |= failed
            checked.faults = [(mask & ~failed, why) for mask, why in checked.faults]
        for mask, reason in checked.faults:
            faults.add(
                target,
                reason,
                rows.filter(mask),
                picked(cells, mask),
                personal=column.personal,
                closed=reason == closed_set(column),
            )
            bad |= mask
        converted.append(checked.values.alias(target))
    prepared = Prepared(derive(pl.DataFrame(converted), spec.name), bad)
    _check_rows(prepared, spec, faults)
    return prepared


def with_defaults(rows: pl.DataFrame, spec: TableSpec) -> pl.DataFrame:
    """Rows to insert: where a moment is NULL that the database would fill in, it is now."""
    now = dt.datetime.now(dt.UTC)
    names = [
        name
        for name, column in spec.columns.items()
        if column.defaulted and column.kind == "moment" and name in rows.columns
    ]
    return rows.with_columns(pl.col(names).fill_null(now)) if names else rows


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
