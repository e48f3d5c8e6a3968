"""``synfin rules``: rules of a TOML file, evaluated, checked and compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synfin_analytics.cli._common import (
    echo_table,
    echo_warning,
    parse_separator,
    report_read_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synfin_analytics.rules import RuleEvaluation

_STORED = "transactions"
#: Exit status if a rule could not be evaluated; the others were.
_INCOMPLETE = 1
_FILE = click.Path(path_type=Path, dir_okay=False)
_DATA = click.option(
    "--data",
    default=_STORED,
    show_default=True,
    metavar="FILE|transactions",
    help="File with the transactions, or those in the database.",
)
_COLUMNS = (
    ("label", "Column of FILE with the labels: true or 1 for fraud [is_fraud]."),
    ("amount", "Column of FILE with the amounts [amount]."),
    ("timestamp", "Column of FILE with the times of the transactions [timestamp]."),
    ("label_available_at",
     "Column of FILE with the times at which labels arrived [label_available_at]."),
)  # fmt: skip


def _options(command: Any) -> Any:
    """Add the options that say which transactions rules are evaluated on, and how."""
    options = [
        _DATA,
        *(click.option(f"--{name.replace('_', '-')}", metavar="COLUMN", help=text)
          for name, text in _COLUMNS),
        click.option("--no-amount", is_flag=True, help="Leave out amounts, and so net benefit."),
        click.option("--no-timestamp", is_flag=True, help="Leave out times, and so periods."),
        click.option("--pos-label", metavar="LABEL",
                     help="The label that means fraud, if labels are not true or false."),
        click.option("--cluster", multiple=True, metavar="COLUMN",
                     help="Column of what makes transactions dependent; repeat for a second one "
                     "[customers and merchants]."),
        click.option("--no-cluster", is_flag=True, help="Take transactions as independent."),
        click.option("--start", metavar="DATE", help="Include transactions from this date on."),
        click.option("--end", metavar="DATE", help="Include transactions before this date."),
        click.option("--as-of", metavar="DATE",
                     help="Use the labels that were known at this date or time (UTC)."),
        click.option("--archive", type=click.Path(path_type=Path, file_okay=False),
                     metavar="FOLDER",
                     help="Use the transactions of this archive too, not only those of the "
                     "database."),
        click.option("--cost-per-alert", type=float,
                     help="Cost of an alert [that of the file of rules, or 5]."),
        click.option("--recovery-rate", type=float,
                     help="Share of a detected fraud that is recovered [1]."),
        click.option("--confidence-level", type=float,
                     help="Confidence level of the intervals [0.95]."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def rules() -> None:
    """Evaluate, check and compare the rules of a TOML file."""


@rules.command()
@click.argument("rules_file", metavar="RULES", type=_FILE)
@_options
@click.option("--every", metavar="PERIOD", help="Length of the periods, such as 1mo [1w].")
@click.option("--model", metavar="RULE", help="The rule that is a model: put others beside it.")
@click.option("--out", type=_FILE, metavar="FILE", help="Write the report to this HTML file.")
@click.option("--csv", "csv", type=_FILE, metavar="FILE", help="Write the table to this CSV file.")
@report_read_options
def evaluate(rules_file: Path, out: Path | None, csv: Path | None, **options: Any) -> None:
    """Evaluate the rules of the file RULES: what each catches, costs, and adds.

    The exit status is 1 if a rule could not be evaluated; the others are.
    """
    from synfin_analytics.reports import rules_report
    from synfin_analytics.reports._page import check_page_path

    if out is not None:
        check_page_path(out)  # before anything is computed
    report = rules_report(_data(options), rules_file, **_select(options))
    evaluation = report.evaluation
    _echo_rules(evaluation)
    for sentence in [*report.summary_text(), *report.caveats]:
        click.echo(click.wrap_text(sentence, 96, "  ", "    "))
    if csv is not None:
        _write_csv(evaluation, csv)
        click.echo(f"{csv.resolve()}")
    if out is not None:
        report.save(out)
        click.echo(f"{out.resolve()}")
    _fail(evaluation.failed)


@rules.command()
@click.argument("rules_file", metavar="RULES", type=_FILE)
@click.option(
    "--data",
    metavar="FILE|transactions",
    help="Check the columns and their types, too: of this file, or of the database.",
)
@click.option(
    "--label", default="is_fraud", metavar="COLUMN", help="Column of FILE with the labels."
)
@report_read_options
def check(rules_file: Path, data: str | None, label: str, **options: Any) -> None:
    """Parse the rules of the file RULES, without evaluating them.

    The exit status is 1 if a rule is not a valid condition.
    """
    from synfin_analytics.reports._rule_data import check_conditions
    from synfin_analytics.rules import read_rules

    rules = read_rules(rules_file)
    options["separator"] = parse_separator(options["separator"])
    failed = check_conditions(rules, data, label=label, stored=_STORED, options=options)
    for name in rules:
        if name not in failed:
            click.echo(f"  {name}: valid")
    _fail(failed)


@rules.command()
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
@_options
@report_read_options
def compare(old: Path, new: Path, **options: Any) -> None:
    """Compare the rules of the file NEW with those of the same names in OLD.

    Both versions of a changed rule are evaluated on the same transactions. The interval is that of
    the difference. The exit status is 1 if a rule could not be evaluated.
    """
    from synfin_analytics.reports import rules_report
    from synfin_analytics.rules import read_rules

    former, current = read_rules(old), read_rules(new)
    changed = [name for name in current if former.get(name, current[name]) != current[name]]
    _echo_names("Added", [name for name in current if name not in former])
    _echo_names("Removed", [name for name in former if name not in current])
    _echo_names("Unchanged", [name for name in current if former.get(name) == current[name]])
    if not changed:
        click.echo("No rule has changed.")
        return
    versions = {f"{name} (old)": former[name] for name in changed}
    versions |= {f"{name} (new)": current[name] for name in changed}
    data, selected = _data(options), _select(options)
    if current.cost_per_alert is not None:
        selected.setdefault("cost_per_alert", current.cost_per_alert)
    evaluation = rules_report(data, versions, **selected).evaluation
    for name in changed:
        pair = f"{name} (old)", f"{name} (new)"
        if not any(version in evaluation.failed for version in pair):
            _echo_comparison(name, evaluation, *pair)
    _fail(evaluation.failed)


# -- Options ---------------------------------------------------------------------------------------


def _data(options: dict[str, Any]) -> str | None:
    """Return the file; None for the database."""
    data: str = options.pop("data")
    return None if data == _STORED else data


def _select(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given: the function has the defaults."""
    options = dict(options)
    without = [name for name in ("amount", "timestamp", "cluster") if options.pop(f"no_{name}")]
    for name in without:
        if options[name]:
            raise click.UsageError(f"--{name} and --no-{name} exclude each other.")
    clusters = options.pop("cluster")
    options["cluster"] = (clusters[0] if len(clusters) == 1 else list(clusters)) or None
    options["separator"] = parse_separator(options["separator"])
    selected = {name: value for name, value in options.items() if value is not None}
    return selected | dict.fromkeys(without)


# -- Output ----------------------------------------------------------------------------------------


def _echo_rules(evaluation: RuleEvaluation) -> None:
    from synfin_analytics.reports._rule_sections import rules_table

    table = rules_table(evaluation)
    echo_table(table.head, table.rows)


def _echo_comparison(name: str, evaluation: RuleEvaluation, old: str, new: str) -> None:
    from synfin_analytics._core.formatting import (
        format_confidence_level,
        format_number,
        format_percent,
    )

    click.echo()
    rows: list[Sequence[str]] = []
    frame: Any = evaluation.compare(old, new)
    for row in frame.iter_rows(named=True):
        is_share = row["measure"] in ("precision", "recall")
        write: Callable[[float], str] = format_percent if is_share else format_number
        low, high = row["difference_low"], row["difference_high"]
        interval = "" if low != low or high != high else f"{write(low)} to {write(high)}"
        rows.append(
            (row["measure"].replace("_", " "), write(row["old"]), write(row["new"]),
             write(row["difference"]), interval)
        )  # fmt: skip
    level = f"{format_confidence_level(evaluation.confidence_level)} interval"
    echo_table((name, "old", "new", "difference", level), rows)
    for note in dict.fromkeys(filter(None, frame["note"])):
        click.echo(click.wrap_text(note, 96, "  ", "    "))


def _echo_names(title: str, names: Sequence[str]) -> None:
    if names:
        click.echo(f"{title}: {', '.join(names)}")


def _write_csv(evaluation: RuleEvaluation, path: Path) -> None:
    from synfin_analytics.exceptions import ArgumentError

    try:
        evaluation.to_frame("polars").write_csv(path)
    except OSError as error:
        raise ArgumentError(
            f"Cannot write the table to {str(path)!r}: {error.strerror}."
        ) from error


def _fail(failed: Any) -> None:
    """Print why rules could not be evaluated, and end with their exit status."""
    for name, reason in failed.items():
        echo_warning(f"rule {name!r}: {reason}")
    if failed:
        raise click.exceptions.Exit(_INCOMPLETE)
