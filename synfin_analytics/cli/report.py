"""``synfin report``: a report on a model or on fraud, from a file or the database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synfin_analytics.cli._common import parse_separator, report_read_options

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
_AS_OF = click.option(
    "--as-of",
    metavar="DATE",
    help="Report what was known on this date or time (UTC): only transactions before it, without "
    "the labels that became known later. FILE needs --timestamp and --label-available-at.",
)
_ARCHIVE = click.option(
    "--archive",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Report on the rows of this archive too, not only on those of the database.",
)
_NO_CACHE = click.option(
    "--no-cache",
    is_flag=True,
    help="Compute the numbers from the database even if they are in the cache (DB_CACHE_URL).",
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


def _columns(*names: str) -> Callable[[Any], Any]:
    """Add the options that name columns of a file."""

    def add(command: Any) -> Any:
        for name in reversed(names):
            option = click.option(
                f"--{name.replace('_', '-')}", metavar="COLUMN", help=_COLUMN_HELP[name]
            )
            command = option(command)
        return click.option(
            "--pos-label", metavar="LABEL",
            help="The label that means fraud, if labels are not true or false, such as yes.",
        )(command)  # fmt: skip

    return add


_COLUMN_HELP = {
    "label": "Column of FILE with the labels: true or 1 for fraud.",
    "score": "Column of FILE with the scores, from 0 to 1.",
    "timestamp": "Column of FILE with the times of the transactions.",
    "customer": "Column of FILE with the customers.",
    "merchant": "Column of FILE with the merchants.",
    "amount": "Column of FILE with the amounts; currency signs and codes are accepted.",
    "weight": "Column with weights: how many transactions a row stands for. Or the weight of each "
    "label, such as 0=50,1=1.",
    "currency": "Column of FILE with the currencies, or a code such as EUR.",
    "status": "Column of FILE with the status of transactions, such as declined.",
    "fraud_type": "Column of FILE with the types of frauds.",
    "label_available_at": "Column of FILE with the times at which labels arrived.",
}


@report.command()
@click.argument("data", metavar="FILE|NAME")
@click.argument("version", required=False)
@_out("report.html")
@_columns("label", "score", "timestamp", "customer", "merchant", "amount", "weight",
          "currency", "status", "label_available_at")  # fmt: skip
@click.option("--name", metavar="TEXT", help="Name of the model that made the scores of FILE.")
@click.option(
    "--compare-with",
    "other_score",
    metavar="COLUMN",
    help="Column of FILE with the scores of another model.",
)
@click.option(
    "--compare",
    "other_model",
    nargs=2,
    metavar="NAME VERSION",
    help="Compare a stored model with another one, on the transactions that both scored.",
)
@_BY
@_NO_GROUPS
@_START
@_END
@_AS_OF
@_ARCHIVE
@_NO_CACHE
@click.option(
    "--threshold",
    type=float,
    help="A score at the threshold or above is an alert [0.5, or inferred from the stored "
    "predictions].",
)
@click.option(
    "--alerts-per-day", type=int, help="Alerts, or cards, that can be reviewed in a day [20]."
)
@click.option("--cost-per-alert", type=float, help="Cost of reviewing an alert [5].")
@click.option(
    "--recovery-rate", type=float, help="Share of a detected fraud that is recovered [1]."
)
@click.option("--entity", metavar="COLUMN", help="Column that is ranked by day [customers].")
@click.option(
    "--cluster", metavar="COLUMN", help="Column that the bootstrap resamples [customers]."
)
@click.option("--n-resamples", type=int, help="Number of bootstrap resamples [1000].")
@click.option("--seed", type=int, help="Seed of the bootstrap [0].")
@_CONFIDENCE_LEVEL
@report_read_options
def model(
    data: str,
    version: str | None,
    out: Path,
    other_score: str | None,
    other_model: tuple[str, str] | None,
    columns: tuple[str, ...],
    no_groups: bool,
    no_cache: bool,
    **options: Any,
) -> None:
    """Report on the scores in FILE, or on the stored model NAME VERSION.

    FILE needs --label and --score, and no database: each further column adds sections to the
    report. A model in the database needs its name and version.
    """
    from synfin_analytics.reports import model_report
    from synfin_analytics.reports._page import check_page_path

    check_page_path(out)  # before anything is computed
    if version is None and (options["label"] is None or options["score"] is None):
        raise click.UsageError(
            "A FILE needs the names of its columns, --label COLUMN --score COLUMN; a model in the "
            "database needs its NAME and VERSION."
        )
    options["weight"] = _parse_weight(options["weight"])
    options = _select_options(
        {**options, "compare_with": other_score or other_model},
        columns,
        no_groups=no_groups,
        no_cache=no_cache,
    )
    arguments = (data,) if version is None else (data, version)
    _write(lambda: model_report(*arguments, **options), out)


@report.command()
@click.argument("file", required=False)
@_out("fraud.html")
@_columns("label", "timestamp", "amount", "customer", "merchant", "currency", "status",
          "fraud_type", "label_available_at")  # fmt: skip
@_BY
@_NO_GROUPS
@_START
@_END
@_AS_OF
@_ARCHIVE
@_NO_CACHE
@click.option("--every", metavar="PERIOD", help="Length of the periods over time, such as 1d.")
@click.option(
    "--bins",
    multiple=True,
    metavar="COLUMN=EDGES",
    help="Compare bins of a number, such as amount=10,100.",
)
@click.option("--merchants", type=int, help="How many merchants to list [10].")
@_CONFIDENCE_LEVEL
@report_read_options
def fraud(
    file: str | None,
    out: Path,
    columns: tuple[str, ...],
    no_groups: bool,
    no_cache: bool,
    bins: tuple[str, ...],
    **options: Any,
) -> None:
    """Report on the fraud in FILE, or of a period of the database.

    How much, when, where, and of which type. FILE needs --label, and no database.
    """
    from synfin_analytics.reports import fraud_report
    from synfin_analytics.reports._page import check_page_path

    check_page_path(out)  # before anything is computed
    if file is not None and options["label"] is None:
        raise click.UsageError("A FILE needs the name of its column of labels: --label COLUMN.")
    options = _select_options(options, columns, no_groups=no_groups, no_cache=no_cache)
    if bins:
        options["bins"] = dict(_parse_bins(text) for text in bins)
    _write(lambda: fraud_report(file, **options), out)


def _select_options(
    options: dict[str, Any], columns: tuple[str, ...], *, no_groups: bool, no_cache: bool
) -> dict[str, Any]:
    """Return the options that were given: the functions have the defaults."""
    if no_groups and columns:
        raise click.UsageError("--by and --no-groups exclude each other.")
    options["separator"] = parse_separator(options["separator"])
    options = {name: value for name, value in options.items() if value is not None}
    if no_cache:
        options["cache"] = False
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


def _parse_weight(text: str | None) -> str | dict[bool, float] | None:
    """Return the column, or the weight of each label: 0=50,1=1."""
    match = None if text is None else re.fullmatch(r"0=([^,=]+),1=([^,=]+)", text)
    if match is None:
        return text
    try:
        return dict(zip((False, True), map(float, match.groups()), strict=True))
    except ValueError:
        return text  # a column


def _write(create: Callable[[], Report], out: Path) -> None:
    report = create()
    report.save(out)
    for sentence in report.summary_text():
        click.echo(click.wrap_text(sentence, 96, "  ", "    "))
    click.echo(f"{out.resolve()}")
