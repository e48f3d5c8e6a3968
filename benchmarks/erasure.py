"""Erase and pseudonymise customers in the database and in an archive.

    python benchmarks/erasure.py                          # a million transactions
    python benchmarks/erasure.py --rows 120000

Simulated transactions with as many features and predictions, of which all months but the last are
in an archive, on an embedded server of its own. Processor seconds are those of the client and of
the server.
"""

from __future__ import annotations

import os

import click
from _measure import print_markdown
from _place import open_place
from archive import BEFORE, Clock, frames
from sqlalchemy import select

from synfin_analytics import archive_transactions, erase_customer, pseudonymise_customer
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.database.models import Customer

#: Customers of a call.
SIZES = (1, 100)


@click.command()
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=30_000))
def main(rows: int) -> None:
    """Print the time of each call."""
    os.environ["SYNFIN_PSEUDONYM_KEY"] = "a key for measurements only, of 32 bytes or more"
    lines = [["call", "seconds", "processor seconds"], ["---", "---:", "---:"]]
    with open_place() as place, place.prepared("erasure", frames(rows)) as template:
        clock = Clock(place)
        with place.fresh(template) as url:
            manager = DatabaseManager(DatabaseConfig.from_env(environ={"DATABASE_URL": url}))
            folder = place.folder / "files"
            report = archive_transactions(folder, BEFORE, manager=manager)
            with manager.session_scope() as session:
                customers = list(session.scalars(select(Customer.customer_id)))
            for size in SIZES:
                for call in (erase_customer, pseudonymise_customer):
                    chosen, customers = customers[:size], customers[size:]
                    with clock.phase(f"{call.__name__}, {size:,}"):
                        call(chosen, archive=folder, manager=manager)
            manager.close()
    for name, spent in clock.spent.items():
        lines.append([name, *(f"{value:.2f}" for value in spent)])
    click.echo(f"### {rows:,} transactions, {report.rows['transactions']:,} of them archived\n")
    print_markdown(lines)


if __name__ == "__main__":
    main()
