"""Worlds of any size as Parquet files, simulated part by part in bounded memory.

Each part has customers and merchants of its own, so that everything which depends on earlier
payments, at a merchant too, is known within the part.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from synfin_analytics._core.new_folder import check_new_folder, new_folder, scan_parts
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.simulation._generate import simulate_tables
from synfin_analytics.simulation._random import RandomStream
from synfin_analytics.simulation._tables import Taken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from synfin_analytics.simulation._generate import WorldOptions

TABLES = ("customers", "merchants", "transactions")
#: About how many transactions a part has, and a customer a day. Parts do not depend on the
#: machine: the same call gives the same rows everywhere.
PART_TRANSACTIONS, _PER_DAY = 500_000, 1.05
#: With fewer merchants, a part would lack most kinds of shops.
_MIN_MERCHANTS = 20


def simulate_to_folder(options: WorldOptions, output: str | Path) -> dict[str, pl.LazyFrame]:
    """Write a world to a new folder, and return its tables as scans of the files.

    Raises
    ------
    ArgumentError
        The folder is not empty or cannot be written, or there are too few merchants.
    """
    folder = check_new_folder(output, "output")
    parts = list(_divide(options))
    with new_folder(folder) as partial:
        for table in TABLES:
            (partial / table).mkdir()
        taken = Taken()
        for part in parts:
            tables, taken = simulate_tables(part, taken)
            for table, frame in tables.items():
                # Of a full disk, polars raises an error of its own, pyarrow an OSError.
                path = partial / table / f"part-{part.part:06d}.parquet"
                pq.write_table(frame.to_arrow(), path, compression="zstd")
            del tables, frame
    return {table: scan_parts(folder / table) for table in TABLES}


def _divide(options: WorldOptions) -> Iterator[WorldOptions]:
    """Divide the customers and the merchants evenly over the parts."""
    n_rows = int(options.n_customers * len(options.calendar) * _PER_DAY)
    n_parts = min(max(-(-n_rows // PART_TRANSACTIONS), 1), options.n_customers)
    if n_parts > 1 and options.n_merchants < n_parts * _MIN_MERCHANTS:
        raise ArgumentError(
            f"`merchants` must be at least {n_parts * _MIN_MERCHANTS:,} for this `output`: "
            f"{_MIN_MERCHANTS} for each of its {n_parts:,} parts; got {options.n_merchants:,}."
        )
    for part in range(n_parts):
        yield dataclasses.replace(
            options,
            part=part,
            n_customers=_share(options.n_customers, part, n_parts),
            n_merchants=_share(options.n_merchants, part, n_parts),
            seed=_part_seed(options.seed, part),
        )


def _share(total: int, part: int, n_parts: int) -> int:
    return total * (part + 1) // n_parts - total * part // n_parts


def _part_seed(seed: int, part: int) -> int:
    """Return a seed that no part of a world with another seed has; of the first, the same."""
    return int(RandomStream(seed, "part", str(part)).bits(1)[0]) if part else seed
