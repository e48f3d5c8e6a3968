"""Speed of loading rows into PostgreSQL and reading them, compared with other libraries.

    python benchmarks/io.py all --rows 1000000

Peers take turns. Each measurement runs in a separate process and in a fresh copy of the same
database, on an embedded server in a temporary folder or on the server that DB_* names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import random
import shutil
import statistics
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import _data
import click
from _data import Rows
from _measure import Job, Measured, measure, print_markdown
from _peers import GROUPS, Peer
from _place import Place, open_place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EMPTY, FOLLOWING, BETWEEN = (name for name in GROUPS if name.startswith("load"))
(UPSERT,) = (name for name in GROUPS if name.startswith("upsert"))
OURS = ("load_df", "read_df")
SIX = "transaction_id, customer_id, amount, timestamp, is_fraud, merchant_category"


@dataclasses.dataclass
class Bench:
    """Options of the command, and the databases to measure in."""

    place: Place
    rows: int
    repeat: int
    only: str
    apart: bool
    #: Drops the databases.
    stack: contextlib.ExitStack

    @cached_property
    def empty(self) -> str:
        """Database with customers and merchants alone."""
        return self.stack.enter_context(self.place.prepared("empty", _data.parents()))

    @cached_property
    def full(self) -> str:
        """Database with ``rows`` transactions, whose keys are even."""
        with self.files(Rows(self.rows, step=2), csv=False) as folder:
            frames = {**_data.parents(), "transactions": f"{folder}/rows.parquet"}
            return self.stack.enter_context(self.place.prepared("full", frames))

    def peers(self, group: str) -> list[Peer]:
        """Select the requested and installed peers of a group; report those not installed."""
        chosen = []
        for peer in GROUPS[group]:
            if not peer.name.startswith(OURS) and self.only not in peer.name:
                continue
            if peer.missing:
                click.echo(f"{peer.name}: not installed: pip install {' '.join(peer.missing)}")
            else:
                chosen.append(peer)
        return chosen

    @contextlib.contextmanager
    def files(self, rows: Rows, **kinds: bool) -> Iterator[str]:
        """Write the files of rows to a folder, and remove it at the end."""
        folder = self.place.folder / "files"
        _data.write_files(rows, folder, **kinds)
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder)

    def compare(self, title: str, group: str, once: Callable[[Peer], Measured]) -> None:
        """Run the peers in turns, in a random order each time, and print a comparison."""
        peers = self.peers(group)
        results: dict[str, list[Measured]] = {peer.name: [] for peer in peers}
        for turn in range(self.repeat):
            for peer in random.Random(turn).sample(peers, len(peers)):
                click.echo(f"{title} {turn + 1}/{self.repeat}: {peer.name} ", err=True, nl=False)
                results[peer.name].append(run := once(peer))
                click.echo(f"{run.speed:.1f} thousand rows/s", err=True)
        click.echo(f"\n### {title}: {self.rows:,} rows, median of {self.repeat}\n")
        print_table(peers, results)


def print_table(peers: list[Peer], results: dict[str, list[Measured]]) -> None:
    """Print a Markdown table; a ratio is the median of the ratios of each turn."""
    ours = [peer.name for peer in peers if peer.name.startswith(OURS)]
    head = [
        "",
        "thousand rows/s",
        *(f"speed of {name} / speed" for name in ours),
        "peak MB",
        "",
    ]
    lines = [head, ["---", *["---:"] * (len(head) - 2), "---"]]
    for peer in peers:
        runs = results[peer.name]
        ratios = [
            statistics.median(a.speed / b.speed for a, b in zip(results[name], runs, strict=True))
            for name in ours
        ]
        sampled = f"{runs[0].rows:,} rows only" if peer.sample == runs[0].rows else ""
        lines.append(
            [
                peer.name,
                f"{statistics.median(run.speed for run in runs):.1f}",
                *(f"{ratio:.2f}" for ratio in ratios),
                f"{max(run.megabytes for run in runs):.0f}",
                "; ".join(filter(None, [peer.note, sampled])),
            ]
        )
    print_markdown(lines)


def _write(bench: Bench, group: str, template: str, rows: Rows, *, new: int, base: int) -> None:
    """Compare the peers of ``group``, each in a copy of ``template``, and count the rows."""
    with bench.files(rows, binary=True) as folder:

        def once(peer: Peer) -> Measured:
            count = min(bench.rows, peer.sample or bench.rows)
            with bench.place.fresh(template) as url:
                measured = measure(group, peer.name, Job(url, folder, count), apart=bench.apart)
                n_rows, n_expected = bench.place.count(url), base + min(count, new)
            if n_rows != n_expected:
                raise click.ClickException(
                    f"{peer.name}: {n_rows:,} rows instead of {n_expected:,}."
                )
            return measured

        bench.compare(group, group, once)


def load(bench: Bench) -> None:
    """Load into an empty table and into a table that already has as many rows."""
    n = bench.rows
    _write(bench, EMPTY, bench.empty, Rows(n), new=n, base=0)
    _write(bench, FOLLOWING, bench.full, Rows(n, first=2 * n), new=n, base=n)
    between = Rows(n, first=1, step=2, shuffled=True)
    _write(bench, BETWEEN, bench.full, between, new=n, base=n)


def upsert(bench: Bench) -> None:
    """Load all keys up to ``rows``; those that are even already exist."""
    n = bench.rows
    _write(bench, UPSERT, bench.full, Rows(n, shuffled=True), new=n // 2, base=n)


def read(bench: Bench) -> None:
    """Read all columns, then six of them."""
    url = bench.place.url(bench.full)
    for columns, chosen in (("all columns", "*"), ("six columns", SIX)):

        def once(peer: Peer, chosen: str = chosen) -> Measured:
            job = Job(url, "", bench.rows, f"SELECT {chosen} FROM transactions")
            measured = measure("read", peer.name, job, apart=bench.apart)
            if measured.rows != bench.rows:
                raise click.ClickException(f"{peer.name} read {measured.rows:,} rows.")
            return measured

        bench.compare(f"read {columns}", "read", once)


def export(bench: Bench) -> None:
    """Export all rows to files, compared with reading them: processor time and peak memory."""
    url = bench.place.url(bench.full)
    first, *_ = peers = GROUPS["export"]
    results: dict[str, list[tuple[Measured, float]]] = {peer.name: [] for peer in peers}
    for turn in range(bench.repeat):
        for peer in random.Random(turn).sample(peers, len(peers)):
            click.echo(f"export {turn + 1}/{bench.repeat}: {peer.name}", err=True)
            with tempfile.TemporaryDirectory(dir=bench.place.folder) as folder:
                job = Job(url, folder, bench.rows, "SELECT * FROM transactions")
                before = bench.place.server_seconds()
                measured = measure("export", peer.name, job, apart=bench.apart)
                processor = measured.processor + bench.place.server_seconds() - before
            if measured.rows != bench.rows:
                raise click.ClickException(f"{peer.name} wrote {measured.rows:,} rows.")
            results[peer.name].append((measured, processor))
    click.echo(f"\n### export: {bench.rows:,} rows, median of {bench.repeat}\n")
    head = ["", "thousand rows/s", "processor seconds", f"/ {first.name}", "peak MB", ""]
    lines = [head, ["---", *["---:"] * (len(head) - 2), "---"]]
    for peer in peers:
        runs = results[peer.name]
        pairs = zip(runs, results[first.name], strict=True)
        ratio = statistics.median(own / of_first for (_, own), (_, of_first) in pairs)
        lines.append(
            [
                peer.name,
                f"{statistics.median(run.speed for run, _ in runs):.1f}",
                f"{statistics.median(processor for _, processor in runs):.2f}",
                f"{ratio:.2f}",
                f"{max(run.megabytes for run, _ in runs):.0f}",
                peer.note,
            ]
        )
    print_markdown(lines)


def memory(bench: Bench, *, few_columns: bool) -> None:
    """Load a Parquet file, and a second with ten times as many rows."""
    (peer,) = GROUPS["memory"]
    click.echo("\n### memory: a Parquet file into an empty table\n")
    click.echo("| rows | columns | MB of the file | thousand rows/s | peak MB |")
    click.echo("| ---: | ---: | ---: | ---: | ---: |")
    columns = len(_data.FEW_COLUMNS if few_columns else _data.COLUMNS)
    for count in (max(1, bench.rows // 10), bench.rows):
        rows = Rows(count, few_columns=few_columns)
        with bench.files(rows, csv=False) as folder, bench.place.fresh(bench.empty) as url:
            job = Job(url, folder, count)
            result = measure("memory", peer.name, job, apart=bench.apart)
            size = Path(job.file("parquet")).stat().st_size / 2**20
        click.echo(
            f"| {count:,} | {columns} | {size:.0f} | {result.speed:.1f} | {result.megabytes:.0f} |"
        )


@click.command()
@click.argument(
    "selection", type=click.Choice(["load", "read", "upsert", "export", "memory", "all"])
)
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=2))
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--only", default="", help="Only peers whose name contains this text, and our own.")
@click.option("--few-columns", is_flag=True, help="memory: ten columns rather than all 56.")
@click.option("--one-process", is_flag=True, help="Quick, but the memory is only an estimate.")
def main(
    selection: str, rows: int, repeat: int, only: str, few_columns: bool, one_process: bool
) -> None:
    """Measure ways of loading and reading the table transactions, side by side."""
    with open_place() as place, contextlib.ExitStack() as stack:
        bench = Bench(place, rows, repeat, only, not one_process, stack)
        click.echo(f"{place.server}; Python {platform.python_version()}; {platform.machine()}")
        parts = {"load": load, "upsert": upsert, "read": read, "export": export}
        for name, run in parts.items():
            if selection in (name, "all"):
                run(bench)
        if selection in ("memory", "all"):
            memory(bench, few_columns=few_columns)


if __name__ == "__main__":
    main()
