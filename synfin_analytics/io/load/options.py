"""Options of loading, for callers that pass them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

OnInvalid: TypeAlias = Literal["raise", "reject"]
OnMissingParent: TypeAlias = Literal["raise", "create"]
OnConflict: TypeAlias = Literal["error", "skip", "update"]
RebuildIndexes: TypeAlias = Literal["auto", "always", "never"]


class LoadOptions(TypedDict, total=False):
    """Keyword arguments of :func:`load_df`, except those that say where the rows go."""

    columns: Mapping[str, str | None] | None
    on_invalid: OnInvalid
    on_missing_parent: OnMissingParent
    on_conflict: OnConflict
    rebuild_indexes: RebuildIndexes
    progress: bool | None
    separator: str | None
    encoding: str | None
    decimal: str | None
    thousands: str | None
    date_format: str | None
    timezone: str | None
    currency: bool | str


class BatchedLoadOptions(LoadOptions, total=False):
    """The same with ``batch_size``."""

    batch_size: int | None
