"""``synfin demo``: from a file, or nothing at all, to fraud rates of transactions in PostgreSQL."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synfin_analytics.cli._options import reading_options, take_reading
from synfin_analytics.cli._output import Steps, echo_table, pairs
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics.io.load.report import LoadReport
    from synfin_analytics.reports import FraudReport

_STEPS = 5


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Transactions, in a file as `synfin load` reads it. Without it, they are simulated.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="A=b",
    help="Column A of FILE is b of the table, as TX_AMOUNT=amount. Known layouts need none.",
)
@click.option("--ignore", multiple=True, metavar="A", help="Leave column A of FILE out.")
@click.option(
    "--customers",
    default=1000,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Simulated customers.",
)
@click.option(
    "--days", default=120, show_default=True, type=click.IntRange(1, 3650), help="Simulated days."
)
@click.option("--seed", default=0, show_default=True, help="Of the simulation.")
@click.option("--out", default="synfin_demo", show_default=True, metavar="FOLDER",
              type=click.Path(path_type=Path, file_okay=False),
              help="Where the pictures and the page go.")  # fmt: skip
@reading_options
def demo(
    data: Path | None,
    columns: tuple[str, ...],
    ignore: tuple[str, ...],
    customers: int,
    days: int,
    seed: int,
    out: Path,
    **options: Any,
) -> None:
    """Load transactions, show their fraud rates, evaluate a model, write a page.

    Works in a database of its own (synfin_demo, on the embedded server), made anew at each run.
    """
    mapping = pairs(columns, ignore)
    reading = take_reading(options)
    if data is None and (mapping or reading.about_a_file):
        raise ArgumentError(
            "--column, --ignore and options about how a file is written need a file: "
            "give it with --data."
        )
    if data is not None:
        _check_file(data)
    _check_folder(out)

    steps = Steps(_STEPS)
    with contextlib.ExitStack() as stack:
        with steps.step("Starting PostgreSQL, and creating the database synfin_demo"):
            # Imported only now, for the step to be told before anything takes time.
            from synfin_analytics.cli import _demo_steps as demo_steps

            manager = demo_steps.open_database()
            stack.callback(manager.close)
        if data is None:
            source = (
                f"Simulated payments: {customers:,} customers, {days:,} days, seed {seed}. Nobody "
                "in them exists."
            )
            with steps.step("Simulating payments, and loading them"):
                report = demo_steps.load_simulation(manager, customers, days, seed)
        else:
            source = f"Transactions of {data.name}"
            with steps.step(f"Loading {data.name}"):
                known = columns_of(data, mapping, reading) if mapping else {}
                report = demo_steps.load_file(manager, data, known, reading)
        _echo_load(report)
        with steps.step("Counting"):
            transactions = demo_steps.read(manager)
            if transactions.is_empty():
                raise ArgumentError("No transaction was loaded: there is nothing to show.")
            overview = demo_steps.count(manager, source, _notes(report))
        with steps.step("Learning a simple model from the first part, and testing it on the last"):
            model = demo_steps.evaluate(manager, transactions)
        overview = replace(overview, model=model)
        with steps.step("Drawing"):
            files = demo_steps.write_files(overview, out)
    _echo_overview(overview)
    _echo_files(files)


def columns_of(
    data: Path, mapping: dict[str, str | None], reading: ReadOptions | None = None
) -> dict[str, str | None]:
    """Add to the mapping what is known of files with such column names."""
    from synfin_analytics.cli._demo_steps import layout_of
    from synfin_analytics.io._sources import open_source

    return layout_of(open_source(data, 1, reading).names) | mapping


def _check_file(data: Path) -> None:
    """Refuse a file that is not there, before the server is started."""
    from synfin_analytics.io.files._files import refuse_uri

    refuse_uri(data)
    if not data.exists():
        raise ArgumentError(f"There is no file {str(data)!r}.")


def _check_folder(out: Path) -> None:
    """Refuse a folder that cannot be written to, before minutes are spent."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        trial = out / ".trial"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise ArgumentError(f"Nothing can be written to {str(out)!r}: {error.strerror}.") from error


def _notes(report: LoadReport) -> tuple[str, ...]:
    from synfin_analytics._core.formatting import pluralize

    if not report.rejected_rows:
        return ()
    reasons = report.rejected.groupby(["column", "reason"], sort=False)["row"].nunique()
    told = "; ".join(
        f"{column} {reason} ({rows:,})"
        for column, reason, rows in reasons.reset_index().itertuples(index=False)
    )
    return (f"{pluralize(report.rejected_rows, 'row')} of the file could not be loaded: {told}.",)


def _echo_load(report: LoadReport) -> None:
    from synfin_analytics.cli.data import echo_report

    click.echo()
    echo_report(report)
    click.echo()


def _echo_overview(overview: FraudReport) -> None:
    from synfin_analytics.reports import ModelReport
    from synfin_analytics.reports._fraud_tables import rates

    _echo_heading("What there is")
    _echo_sentences([*overview.summary_text(), *overview.notes])
    for what, result in overview.rates.items():
        _echo_heading(f"Fraud rate by {what}")
        head = (what.partition(" (")[0], "transactions", "labelled", "frauds", "rate", "interval")
        echo_table(head, [row[: len(head)] for row in rates(result)])
    _echo_heading("How well a simple model finds it")
    if isinstance(overview.model, ModelReport):
        _echo_sentences([*overview.model.summary_text(), *overview.model.notes])
    else:
        _echo_sentences([str(overview.model)])


def _echo_files(files: list[Path]) -> None:
    _echo_heading("Where to look")
    for path in files:
        click.echo(f"  {path.resolve()}")
    click.echo("  The transactions are in the database synfin_demo. To work with them, start")
    click.echo("  Python or Jupyter with DB_NAME=synfin_demo in its environment:")
    click.echo('    from synfin_analytics import read_df; read_df("transactions")')


def _echo_heading(text: str) -> None:
    click.echo()
    click.secho(text, bold=True, underline=True)


def _echo_sentences(sentences: list[str]) -> None:
    for sentence in sentences:
        click.echo(click.wrap_text(sentence, 96, "  ", "    "))
