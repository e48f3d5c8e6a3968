"""``synfin report``: a model report or a fraud report, as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from synfin_analytics.reports._page import Report

_BY = click.option(
    "--by",
    "columns",
    multiple=True,
    metavar="COLUMN[,COLUMN]",
    help="Compare groups of this column of the transactions, or of several columns together. "
    "Repeat for more; by default, two columns with few values are used.",
)
_NO_GROUPS = click.option("--no-groups", is_flag=True, help="Do not compare groups.")
_START = click.option(
    "--start", metavar="DATE", help="Include transactions from this date or time (UTC) on."
)
_END = click.option(
    "--end",
    metavar="DATE",
    help="Include transactions before this date or time (UTC): --end 2026-02-01 excludes that "
    "day. A date without a time is its midnight.",
)
_CONFIDENCE_LEVEL = click.option(
    "--confidence-level", type=float, help="Confidence level of the intervals [0.95]."
)


def _out(default: str) -> Callable[[Any], Any]:
    return click.option(
        "--out",
        default=default,
        show_default=True,
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="File to write the page to.",
    )


@click.group()
def report() -> None:
    """Create a report: one self-contained HTML page to open, print or send."""


@report.command()
@click.argument("name")
@click.argument("version")
@_out("report.html")
@click.option(
    "--compare",
    "compare_with",
    nargs=2,
    metavar="NAME VERSION",
    help="Compare with another model, on the transactions that both scored.",
)
@_BY
@_NO_GROUPS
@_START
@_END
@click.option(
    "--threshold",
    type=float,
    help="A score at the threshold or above is an alert [inferred from the stored predictions].",
)
@click.option(
    "--alerts-per-day", type=int, help="Alerts, or cards, that can be reviewed in a day [20]."
)
@click.option("--cost-per-alert", type=float, help="Cost of reviewing an alert [5].")
@click.option(
    "--recovery-rate", type=float, help="Share of a detected fraud that is recovered [1]."
)
@click.option("--entity", metavar="COLUMN", help="Column that is ranked by day [customer_id].")
@click.option(
    "--cluster", metavar="COLUMN", help="Column that the bootstrap resamples [customer_id]."
)
@click.option("--n-resamples", type=int, help="Number of bootstrap resamples [1000].")
@click.option("--seed", type=int, help="Seed of the bootstrap [0].")
@_CONFIDENCE_LEVEL
def model(
    name: str,
    version: str,
    out: Path,
    columns: tuple[str, ...],
    no_groups: bool,
    **options: Any,
) -> None:
    """Report on the model NAME VERSION, from its stored predictions."""
    from synfin_analytics.reports import model_report
    from synfin_analytics.reports._page import check_page_path

    check_page_path(out)  # before anything is computed
    options = _select_options(options, columns, no_groups=no_groups)
    _write(lambda: model_report(name, version, **options), out)


@report.command()
@_out("fraud.html")
@_BY
@_NO_GROUPS
@_START
@_END
@click.option("--every", metavar="PERIOD", help="Length of the periods over time, such as 1d.")
@click.option(
    "--bins",
    multiple=True,
    metavar="COLUMN=EDGES",
    help="Compare bins of a number, such as amount=10,100.",
)
@click.option("--merchants", type=int, help="How many merchants to list [10].")
@_CONFIDENCE_LEVEL
def fraud(
    out: Path,
    columns: tuple[str, ...],
    no_groups: bool,
    bins: tuple[str, ...],
    **options: Any,
) -> None:
    """Report on the fraud of a period: how much, when, where, and of which type."""
    from synfin_analytics.reports import fraud_report
    from synfin_analytics.reports._page import check_page_path

    check_page_path(out)  # before anything is computed
    options = _select_options(options, columns, no_groups=no_groups)
    if bins:
        options["bins"] = dict(_parse_bins(text) for text in bins)
    _write(lambda: fraud_report(**options), out)


def _select_options(
    options: dict[str, Any], columns: tuple[str, ...], *, no_groups: bool
) -> dict[str, Any]:
    """Return the options that were given: the functions have the defaults."""
    if no_groups and columns:
        raise click.UsageError("--by and --no-groups exclude each other.")
    options = {name: value for name, value in options.items() if value is not None}
    if no_groups:
        options["by"] = []
    elif columns:
        groupings = [tuple(text.split(",")) for text in columns]
        options["by"] = [names[0] if len(names) == 1 else names for names in groupings]
    return options


def _parse_bins(text: str) -> tuple[str, list[float]]:
    column, equals, edges = text.partition("=")
    try:
        return column, [float(edge) for edge in edges.split(",") if equals]
    except ValueError:
        raise click.BadParameter(
            f"must have the form COLUMN=EDGE,EDGE; got {text!r}.", param_hint="--bins"
        ) from None


def _write(create: Callable[[], Report], out: Path) -> None:
    report = create()
    report.save(out)
    for sentence in report.summary_text():
        click.echo(click.wrap_text(sentence, 96, "  ", "    "))
    click.echo(f"{out.resolve()}")
