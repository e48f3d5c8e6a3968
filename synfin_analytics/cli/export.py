"""``synfin export``: write a table, or the result of a query, to a file."""

from __future__ import annotations

from pathlib import Path

import click
from tqdm import tqdm

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.cli._common import open_database


@click.command()
@click.argument("tables", metavar="[TABLE]", nargs=-1)
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--query", metavar="SQL", help="Export the result of this SELECT, not a table.")
@click.option(
    "--partition-by",
    type=click.Choice(["year", "month", "day"]),
    help="Write a folder of Parquet files with one subfolder per period.",
)
@click.option(
    "--time-column",
    default="timestamp",
    show_default=True,
    help="Column that determines the period for --partition-by.",
)
@click.option(
    "--buckets",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="Write a folder with N subfolders of Parquet files; all rows of a key are in one of them.",
)
@click.option(
    "--bucket-by",
    metavar="COLUMN",
    help="Column with the key for --buckets: CRC-32 of its text, modulo N.  [default: customer_id]",
)
@click.option(
    "--use-decimal",
    is_flag=True,
    help="Write money as decimals instead of floats. For a table as CSV this is always the case.",
)
@click.option(
    "--escape-formulas",
    is_flag=True,
    help="Prefix texts of a CSV file with ' that a spreadsheet would run as formulas.",
)
@click.option("--overwrite", is_flag=True, help="Replace TARGET if it exists.")
def export(
    tables: tuple[str, ...],
    target: Path,
    query: str | None,
    partition_by: str | None,
    time_column: str,
    buckets: int | None,
    bucket_by: str | None,
    use_decimal: bool,
    escape_formulas: bool,
    overwrite: bool,
) -> None:
    """Write TABLE, or the result of a query, to TARGET.

    TARGET ends with .parquet or .csv, or is the folder of a partitioned dataset. The rows are
    streamed in batches, so that any size fits into memory.
    """
    from synfin_analytics.cli._dataset import ByBucket, ByPeriod, Partition
    from synfin_analytics.cli._export import check_target, write_batches
    from synfin_analytics.database.models import model_of
    from synfin_analytics.io import read_batches

    if len(tables) + (query is not None) != 1:
        raise click.UsageError("Specify either one TABLE or --query.")
    if buckets is not None and partition_by is not None:
        raise click.UsageError("Specify either --partition-by or --buckets.")
    if bucket_by is not None and buckets is None:
        raise click.UsageError("--bucket-by requires --buckets.")
    partition: Partition | None = None
    if partition_by is not None:
        partition = ByPeriod(time_column, partition_by)
    elif buckets is not None:
        partition = ByBucket(bucket_by or "customer_id", buckets)
    is_csv = partition is None and target.suffix.lower() == ".csv"
    if escape_formulas and not is_csv:
        raise click.UsageError("--escape-formulas requires a TARGET that ends with .csv.")
    source = query if query is not None else model_of(tables[0])
    check_target(target, is_folder=partition is not None, overwrite=overwrite)
    # Decimals in CSV keep all digits, but a query may return numbers without a scale.
    use_decimal = use_decimal or (is_csv and bool(tables))
    with (
        open_database() as manager,
        read_batches(source, manager=manager, use_decimal=use_decimal) as batches,
        tqdm(desc=target.name, unit=" rows", unit_scale=True, disable=None, delay=1) as bar,
    ):
        rows = write_batches(
            batches,
            target,
            partition=partition,
            escape_formulas=escape_formulas,
            progress=bar.update,
        )
    click.echo(f"{pluralize(rows, 'row')}: {target}")
