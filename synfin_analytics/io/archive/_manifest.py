"""The manifest of a folder: which files belong to it, and what must be in them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synfin_analytics.exceptions import ArchiveError
from synfin_analytics.io.archive._folder import translate_os_errors, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Name of the manifest in its folder.
MANIFEST = "manifest.json"
#: The column in the names of folders. ``month`` would clash with the column of ``transactions``.
MONTH_COLUMN = "archive_month"
#: Tables that refer to transactions, and those that transactions refer to.
CHILDREN = ("ml_features", "model_predictions")
PARENTS = ("customers", "merchants")
ARCHIVED = (*PARENTS, "transactions", *CHILDREN)
_FORMAT = "synfin-parquet"
_VERSION = 1

Kind = Literal["archive", "snapshot"]
#: ``deleting``: the files are complete, and the database may still have some of the rows.
MonthState = Literal["deleting", "archived"]


@dataclasses.dataclass(frozen=True)
class Identity:
    """The database that the rows come from."""

    system_identifier: str
    database: str
    oid: int

    def __str__(self) -> str:
        return f"{self.database!r} (system identifier {self.system_identifier})"


@dataclasses.dataclass(frozen=True)
class ColumnSummary:
    """What a column of a file holds.

    Attributes
    ----------
    count
        Number of values that are not NULL.
    checksum
        SHA-256 of its values in the order of the file; see ``_checksums``.
    """

    count: int
    checksum: str


@dataclasses.dataclass(frozen=True)
class Part:
    """One Parquet file.

    Attributes
    ----------
    table
        Table of the rows.
    month
        Month of the transactions, such as ``2025-01``; None in a snapshot.
    path
        Path below the folder, with ``/``.
    rows, size
        Number of rows, and of bytes.
    amount
        Exact sum of the column ``amount``, if there is one.
    columns
        Summary of each column.
    """

    table: str
    month: str | None
    path: str
    rows: int
    size: int
    amount: str | None
    columns: dict[str, ColumnSummary]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All that is known of a folder.

    Attributes
    ----------
    kind
        ``archive`` or ``snapshot``.
    identity
        Database of the rows.
    schema_version
        Version of the tables when the newest file was written.
    parts
        The files.
    months
        State of each month of an archive.
    details
        Further facts, such as the position of a snapshot.
    created_at, updated_at
        Times of the first and the last change, ISO 8601 in UTC.
    """

    kind: Kind
    identity: Identity
    schema_version: str
    parts: tuple[Part, ...] = ()
    months: dict[str, MonthState] = dataclasses.field(default_factory=dict)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    created_at: str = ""
    updated_at: str = ""

    def parts_of(self, table: str, months: Iterable[str] | None = None) -> list[Part]:
        """Return the files of a table, by month and number."""
        chosen = None if months is None else set(months)
        return [
            part
            for part in sorted(self.parts, key=lambda part: (part.month or "", _number(part.path)))
            if part.table == table and (chosen is None or part.month in chosen)
        ]

    def next_path(self, table: str, month: str | None) -> str:
        """Return the path of a new file, which no file has had that the manifest lists."""
        numbers = [_number(part.path) for part in self.parts_of(table) if part.month == month]
        folder = table if month is None else f"{table}/{MONTH_COLUMN}={month}"
        return f"{folder}/part-{max(numbers, default=-1) + 1}.parquet"

    def paths(self) -> set[str]:
        """Return the paths of all files."""
        return {part.path for part in self.parts}


def _number(path: str) -> int:
    return int(path.rpartition("-")[2].removesuffix(".parquet"))


def is_manifest_folder(path: object) -> bool:
    """Whether this is the path of a folder with a manifest of ours.

    Examples
    --------
    >>> is_manifest_folder("transactions.csv")
    False
    """
    return isinstance(path, (str, Path)) and (Path(path) / MANIFEST).is_file()


def read_manifest(folder: str | Path) -> Manifest:
    """Read the manifest of a folder.

    Raises
    ------
    ArchiveError
        There is none, it is damaged, or a newer version of the package wrote it.
    """
    folder = Path(folder)
    if not folder.exists():
        raise ArchiveError(f"There is no folder {str(folder)!r}.")
    path = folder / MANIFEST
    with translate_os_errors(folder):
        if not path.is_file():
            raise ArchiveError(
                f"{str(folder)!r} must be a folder that `synfin db archive` or `synfin snapshot` "
                f"wrote; it has no {MANIFEST}."
            )
        content = path.read_bytes()
    try:
        values = json.loads(content)
        if values["format"] == _FORMAT and values["version"] > _VERSION:
            raise ArchiveError(
                f"{str(path)!r} was written by a newer version of this package. Upgrade it: "
                "pip install --upgrade synfin-analytics"
            )
        if (values["format"], values["version"]) != (_FORMAT, _VERSION):
            raise ValueError
        return _from_values(values)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ArchiveError(
            f"{str(path)!r} is damaged, or not a manifest of this package. Restore it from a "
            "backup; the files that it lists are not changed."
        ) from None


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Replace the manifest, with the time now; a reader sees the old one or the new one."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    manifest = dataclasses.replace(manifest, created_at=manifest.created_at or now, updated_at=now)
    values = {"format": _FORMAT, "version": _VERSION, **vars(manifest)}
    parts = ",\n".join(json.dumps(part, default=vars) for part in values.pop("parts"))
    others = json.dumps(values, default=vars)
    with write_atomically(folder / MANIFEST) as path:
        # A line for each file; json.dumps with `indent` takes ten times as long.
        path.write_text(f'{others[:-1]},\n"parts": [\n{parts}\n]}}\n', encoding="utf-8")
    return manifest


def _from_values(values: dict[str, Any]) -> Manifest:
    fields = {field.name for field in dataclasses.fields(Manifest)}
    parts = tuple(
        Part(
            **{
                **part,
                "columns": {
                    name: ColumnSummary(**summary) for name, summary in part["columns"].items()
                },
            }
        )
        for part in values["parts"]
    )
    for part in parts:
        _check_path(part)
    known = {name: value for name, value in values.items() if name in fields}
    return Manifest(**known | {"identity": Identity(**values["identity"]), "parts": parts})


def _check_path(part: Part) -> None:
    """Raise if a path leads out of the folder."""
    path = Path(part.path)
    if path.is_absolute() or ".." in path.parts or not part.path.startswith(f"{part.table}/"):
        raise ValueError
