"""``synfin snapshot``: copy all tables to a folder of Parquet files."""

from __future__ import annotations

from pathlib import Path

import click

from synfin_analytics.cli._common import echo_table, open_database


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Compare the files of FOLDER with their checksums.")
def snapshot(folder: Path, verify: bool) -> None:
    """Copy all tables, as they are at one moment, to Parquet files in FOLDER.

    FOLDER must be new or empty. It has a manifest with counts, checksums, the time, and the
    position in the write-ahead log.
    """
    from synfin_analytics.io.snapshot import read_snapshot, write_snapshot

    if verify:
        result = read_snapshot(folder, verify=True)
    else:
        with open_database() as manager:
            result = write_snapshot(folder, manager=manager)
    rows = [
        (row["table"], f"{row['rows']:,}", f"{row['size']:,}")
        for row in result.to_frame("polars").iter_rows(named=True)
    ]
    echo_table(("table", "rows", "bytes"), rows)
    state = "The files match their checksums" if verify else f"Written to {folder}"
    click.echo(f"{state}: {result.database!r} at {result.created_at}, WAL {result.position}.")
