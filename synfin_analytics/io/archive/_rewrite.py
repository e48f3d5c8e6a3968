"""Rewrite files of a folder without some of their rows."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq

from synfin_analytics.exceptions import ArchiveError
from synfin_analytics.io.archive._folder import translate_os_errors
from synfin_analytics.io.archive._parts import check_part, read_part, write_part

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from synfin_analytics.io.archive._manifest import Manifest, Part


def matching_parts(
    folder: Path, manifest: Manifest, table: str, column: str, values: pl.Series
) -> list[Part]:
    """Return the files of a table with a row whose ``column`` is one of ``values``."""
    matches = []
    for part in manifest.parts_of(table):
        present = pl.scan_parquet(folder / part.path, hive_partitioning=False)
        rows = present.filter(pl.col(column).is_in(values.implode())).head(1)
        try:
            if rows.collect().height:
                matches.append(part)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise ArchiveError(
                f"The file {part.path!r} of {str(folder)!r} is missing or damaged. Restore it from "
                "a backup, then run `synfin db archive --verify`."
            ) from error
    return matches


def remove_rows(
    folder: Path, manifest: Manifest, parts: Sequence[Part], column: str, values: pl.Series
) -> Manifest:
    """Write files again without the rows whose ``column`` is one of ``values``.

    The caller holds the lock of the folder, writes the manifest that is returned, and then removes
    the files that it does not list. Until then, the folder is as before.

    Parameters
    ----------
    folder, manifest
        The folder.
    parts
        Files to write again.
    column, values
        Which rows to leave out.

    Raises
    ------
    ArchiveError
        A file cannot be read or written.
    """
    for part in parts:
        _require_sound(folder, part)  # a damaged file must not get valid checksums
        with translate_os_errors(folder):
            schema = pq.read_schema(folder / part.path)
        others = tuple(other for other in manifest.parts if other != part)
        new = write_part(
            folder,
            manifest.next_path(part.table, part.month),
            table=part.table,
            month=part.month,
            schema=schema,
            batches=_other_rows(folder, part, column, values),
        )
        _require_sound(folder, new)
        kept = (new,) if new.rows else ()
        manifest = dataclasses.replace(manifest, parts=(*others, *kept))
    return manifest


def _require_sound(folder: Path, part: Part) -> None:
    problems = check_part(folder, part)
    if problems:
        raise ArchiveError(
            f"The archive {str(folder)!r} is damaged: {problems[0]}. Restore the file from "
            "a backup."
        )


def _other_rows(
    folder: Path, part: Part, column: str, values: pl.Series
) -> Iterator[pa.RecordBatch]:
    removed = values.implode()
    for batch in read_part(folder, part):
        keys = pl.from_arrow(batch.column(column))
        if isinstance(keys, pl.Series):
            yield batch.filter((~keys.is_in(removed)).to_arrow())
