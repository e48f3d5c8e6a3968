"""Which column of the table each column of the data is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from synfin_analytics._core.arguments import format_value
from synfin_analytics.exceptions import (
    ArgumentError,
    InvalidDataError,
    NotFoundError,
    Problem,
    nearest_names,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synfin_analytics._core.validation.spec import TableSpec


def match_columns(
    names: Sequence[str],
    spec: TableSpec,
    mapping: Mapping[str, str | None] | None,
    *,
    partial: bool = False,
    index: Sequence[str] = (),
) -> dict[str, str]:
    """Return the column of the table for each column of the data.

    Parameters
    ----------
    names
        Column names of the data.
    spec
        The table.
    mapping
        Names in the data to names in the table; None leaves a column out.
    partial
        Required columns may be missing as long as a key is there: rows will be updated.
    index
        Names of the index levels of a pandas frame, which are not columns.

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
        if name not in names:
            raise NotFoundError("column", name, names, location="the data")
    targets = {name: mapping.get(name, name) for name in names}
    kept = {name: target for name, target in targets.items() if target is not None}
    sources: dict[str, str] = {}
    for name, target in kept.items():
        if target in sources:
            raise ArgumentError(
                f"The columns {sources[target]!r} and {name!r} of the data would both become "
                f"{target!r} of {spec.name!r}: leave one out with columns={{{name!r}: None}}."
            )
        sources[target] = name
    unknown = [target for target in kept.values() if target not in spec.columns]
    problems = [
        Problem(name, f"is not a column of the table{_hint_for_unknown(name, spec)}", 0)
        for name in unknown
    ]
    required = [column.name for column in spec.columns.values() if column.required]
    if partial and any(set(key) <= set(sources) for key in spec.unique):
        required = []
    problems += [
        Problem(
            name, f"is required but not in the data{_hint_for_missing(name, unknown, index)}", 0
        )
        for name in required
        if name not in sources
    ]
    if problems:
        raise InvalidDataError(spec.name, problems)
    return kept


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
