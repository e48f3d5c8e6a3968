"""``synfin report``: what a model is worth, or how much fraud there was, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics.reports._page import Page

_BY = click.option(
    "--by",
    "columns",
    multiple=True,
    metavar="COLUMN[,COLUMN]",
    help="Compare groups of this column of the transactions, or of several together. Repeat as "
    "needed; without it, two columns with few values are taken.",
)
_NO_GROUPS = click.option("--no-groups", is_flag=True, help="Compare no groups.")
_START = click.option(
    "--start", metavar="DATE", help="Transactions from this date or time (UTC) on."
)
_END = click.option(
    "--end",
    metavar="DATE",
    help="Transactions before this date or time (UTC): --end 2026-02-01 excludes that day.",
)
_LEVEL = click.option("--level", type=float, help="Confidence of the intervals [0.95].")


def _out(default: str) -> Callable[[Any], Any]:
    return click.option(
        "--out",
        default=default,
        show_default=True,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Where the page goes.",
    )


@click.group()
def report() -> None:
    """Write a report: one HTML page that needs nothing else, to open, print or send."""


@report.command()
@click.argument("name")
@click.argument("version")
@_out("report.html")
@click.option(
    "--compare",
    "compare_with",
    nargs=2,
    metavar="NAME VERSION",
    help="Another model, on the transactions that both know.",
)
@_BY
@_NO_GROUPS
@_START
@_END
@click.option(
    "--threshold",
    type=float,
    help="Score from which on it is an alert [the one that the stored predictions follow].",
)
@click.option("--alerts-per-day", type=int, help="Alerts, or cards, looked at in a day [20].")
@click.option("--cost-per-alert", type=float, help="What it costs to look at one [5].")
@click.option("--recovery-rate", type=float, help="Share of a caught fraud that is saved [1].")
@click.option("--card", metavar="COLUMN", help="What is ranked by day [customer_id].")
@click.option("--cluster", metavar="COLUMN", help="What is drawn for intervals [customer_id].")
@click.option("--draws", type=int, help="Draws of the bootstrap [1000].")
@click.option("--seed", type=int, help="Seed of the draws [0].")
@_LEVEL
def model(
    name: str,
    version: str,
    out: Path,
    columns: tuple[str, ...],
    no_groups: bool,
    **options: Any,
) -> None:
    """Report what the model NAME VERSION is worth, from its stored predictions."""
    from synfin_analytics.reports import model_report
    from synfin_analytics.reports._page import page_file

    page_file(out)  # before anything is computed

    given = _given(options, columns, no_groups=no_groups)
    _write(lambda: model_report(name, version, **given), out)


@report.command()
@_out("fraud.html")
@_BY
@_NO_GROUPS
@_START
@_END
@click.option("--every", metavar="PERIOD", help="Length of the periods over time, as 1d or 1w.")
@click.option(
    "--bins",
    multiple=True,
    metavar="COLUMN=EDGES",
    help="Compare bands of a number, as amount=10,100.",
)
@click.option("--merchants", type=int, help="Merchants that are listed, by their losses [10].")
@_LEVEL
def fraud(
    out: Path,
    columns: tuple[str, ...],
    no_groups: bool,
    bins: tuple[str, ...],
    **options: Any,
) -> None:
    """Report how much fraud there was, where, when and of what kind."""
    from synfin_analytics.reports import fraud_report
    from synfin_analytics.reports._page import page_file

    page_file(out)  # before anything is computed

    given = _given(options, columns, no_groups=no_groups)
    if bins:
        given["bins"] = dict(_band(one) for one in bins)
    _write(lambda: fraud_report(**given), out)


def _given(options: dict[str, Any], columns: tuple[str, ...], *, no_groups: bool) -> dict[str, Any]:
    """Keep what was given: the functions know what is usual."""
    if no_groups and columns:
        raise click.UsageError("--by and --no-groups exclude each other.")
    given = {name: value for name, value in options.items() if value is not None}
    if no_groups:
        given["by"] = []
    elif columns:
        groups = [tuple(one.split(",")) for one in columns]
        given["by"] = [one[0] if len(one) == 1 else one for one in groups]
    return given


def _band(text: str) -> tuple[str, list[float]]:
    column, equals, edges = text.partition("=")
    try:
        return column, [float(edge) for edge in edges.split(",") if equals]
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not of the form COLUMN=EDGE,EDGE.", param_hint="--bins"
        ) from None


def _write(make: Callable[[], Page], out: Path) -> None:
    made = make()
    made.save(out)
    for sentence in made.summary_text():
        click.echo(click.wrap_text(sentence, 96, "  ", "    "))
    click.echo(f"{out.resolve()}")
