"""``synfin demo``: from a file, or from simulated data, to fraud rates and two models."""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synfin_analytics.cli._common import (
    Steps,
    echo_load_report,
    echo_table,
    parse_column_mapping,
    pop_read_options,
    read_options,
)
from synfin_analytics.exceptions import (
    ArgumentError,
    MissingDependencyError,
    RejectedLabelsWarning,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import polars as pl

    from synfin_analytics._core.validation.options import ReadOptions
    from synfin_analytics.baseline import BaselineModel
    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io import LoadReport
    from synfin_analytics.reports import FraudReport, ModelReport

#: The demo's own database: the user's database is never affected.
DATABASE = "synfin_demo"
_N_STEPS = 6


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File of transactions, in any format of `synfin load`. Default: simulated transactions.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="A=b",
    help="Load column A of FILE into column b of the table, such as TX_AMOUNT=amount. Known "
    "layouts need no mapping.",
)
@click.option("--ignore", multiple=True, metavar="A", help="Ignore column A of FILE.")
@click.option(
    "--customers",
    default=1000,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Number of simulated customers.",
)
@click.option(
    "--days",
    default=120,
    show_default=True,
    type=click.IntRange(1, 3650),
    help="Number of simulated days.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the simulation.")
@click.option("--out", default=DATABASE, show_default=True, metavar="FOLDER",
              type=click.Path(path_type=Path, file_okay=False),
              help="Folder of the reports and plots.")  # fmt: skip
@read_options
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
    """Load transactions, report fraud rates, train and compare two models.

    The demo uses its own database (synfin_demo, on the embedded server) and recreates it on each
    run.
    """
    mapping = parse_column_mapping(columns, ignore)
    read_options = pop_read_options(options)
    if data is None and (mapping or read_options.has_options):
        raise ArgumentError("--column, --ignore and the options of a file require --data.")
    names = _read_column_names(data, read_options) if data is not None else []
    _check_folder(out)

    # The steps import what they need, so that the first line is printed at once.
    steps = Steps(_N_STEPS)
    with contextlib.ExitStack() as stack:
        with steps.step(f"Start PostgreSQL and create the database {DATABASE}"):
            manager = _create_database()
            stack.callback(manager.close)
        if data is None:
            source = (
                f"Simulated payments: {customers:,} customers, {days:,} days, seed {seed}. All "
                "persons are fictitious."
            )
            with steps.step("Simulate payments and load them"):
                load_report = _load_simulation(manager, customers, days, seed)
        else:
            source = f"Transactions of {data.name}"
            with steps.step(f"Load {data.name}"):
                load_report = _load_file(manager, data, names, mapping, read_options)
        click.echo()
        echo_load_report(load_report)
        click.echo()
        with steps.step("Compute fraud rates"):
            transactions = _read_transactions(manager)
            if transactions.is_empty():
                raise ArgumentError("No transactions were loaded: there is nothing to report.")
            report = _report_fraud(manager, source, _rejected_note(load_report))
        with steps.step("Train a baseline model on the first part and test it on the last"):
            models = _evaluate_baseline(manager, transactions)
        with steps.step("Compute 69 features, train a gradient-boosted model and compare both"):
            models = _evaluate_boosted(manager, models)
        report = replace(report, model=models.boosted or models.report or models.problem)
        with steps.step("Write reports and plots"):
            paths = _write_files(report, models, out)
    _echo_report(report)
    _echo_models(models)
    _echo_paths(paths)


def _read_column_names(file: Path, read_options: ReadOptions) -> list[str]:
    """Read the header of the file, so that the demo fails before the server starts."""
    from synfin_analytics.io import read_column_names

    return read_column_names(file, read_options)


def _check_folder(out: Path) -> None:
    """Raise if the folder cannot be written to, before minutes are spent."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ArgumentError(
            f"The folder of --out must be writable; got {str(out)!r}: {error.strerror}."
        ) from error


# -- Steps -----------------------------------------------------------------------------------------


def _create_database() -> DatabaseManager:
    """Recreate the demo's database on the embedded server, with empty tables."""
    from sqlalchemy import text

    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.manager import DatabaseManager

    folder = os.environ.get("DB_DATA_DIR") or None
    admin = DatabaseManager(DatabaseConfig(database="postgres", data_dir=folder))
    try:
        with admin.engine.connect() as connection:
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(text(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)"))
        manager = DatabaseManager(DatabaseConfig(database=DATABASE, data_dir=folder))
        manager.create_all_tables()
    finally:
        admin.close()
    return manager


def _load_simulation(manager: DatabaseManager, customers: int, days: int, seed: int) -> LoadReport:
    """Simulate customers, merchants and transactions, and load them."""
    from synfin_analytics.io import load_df
    from synfin_analytics.simulation import simulate

    world = simulate(customers, max(customers * 2 // 5, 5), days, seed, output="polars")
    load_df(world.customers, "customers", manager=manager)
    load_df(world.merchants, "merchants", manager=manager)
    return load_df(world.transactions, "transactions", manager=manager)


def _load_file(
    manager: DatabaseManager,
    file: Path,
    names: Sequence[str],
    mapping: Mapping[str, str | None],
    read_options: ReadOptions,
) -> LoadReport:
    """Load the valid rows of a file, and create the customers and merchants that they name."""
    from synfin_analytics.io import detect_layout, load_df, read_layout

    layout = detect_layout(list(names))
    if layout is not None and not mapping:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RejectedLabelsWarning)  # printed with the report
            tables = read_layout(file, layout, **read_options.to_arguments())
            return tables.load(on_invalid="reject", manager=manager)["transactions"]
    return load_df(
        file,
        "transactions",
        columns=complete_mapping(names, mapping),
        on_invalid="reject",
        on_missing_parent="create",
        manager=manager,
        **read_options.to_arguments(),
    )


def complete_mapping(
    names: Sequence[str], mapping: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Return a mapping completed by the known layout that has these columns, if any.

    Examples
    --------
    >>> complete_mapping(["EUR"], {"EUR": "amount"})
    {'EUR': 'amount'}
    >>> card = ["card1", "card2", "card3", "card5", "card6", "addr1", "ProductCD"]
    >>> names = ["TransactionID", "TransactionDT", "TransactionAmt", *card]
    >>> complete_mapping(names, {"TransactionAmt": "amount"})["TransactionID"]
    'transaction_id'
    """
    from synfin_analytics.io import detect_layout, get_layout
    from synfin_analytics.io.layouts.known import select_variant

    layout = detect_layout(list(names))
    if layout is None:
        return dict(mapping)
    completed: dict[str, str | None] = dict.fromkeys(names)
    for target, source in select_variant(get_layout(layout), names).transactions.items():
        if isinstance(source, str) and completed[source] is None:
            completed[source] = target
    return completed | dict(mapping)


def _read_transactions(manager: DatabaseManager) -> pl.DataFrame:
    """Read the columns that the baseline model needs."""
    from synfin_analytics.io import read_df

    return read_df(
        "SELECT transaction_id, customer_id, merchant_id, timestamp, amount, is_fraud "
        "FROM transactions",
        manager=manager,
        output="polars",
    )


def _report_fraud(manager: DatabaseManager, source: str, notes: Sequence[str]) -> FraudReport:
    """Update the statistics of customers and merchants, and report the fraud rates."""
    from synfin_analytics.reports import fraud_report
    from synfin_analytics.repositories import CustomerRepository, MerchantRepository

    with manager.session_scope() as session:
        CustomerRepository(session).update_transaction_stats()
        MerchantRepository(session).update_transaction_stats()
        return fraud_report(session=session, source=source, notes=notes)


def _rejected_note(load_report: LoadReport) -> tuple[str, ...]:
    from synfin_analytics._core.formatting import pluralize

    if not load_report.rejected_rows:
        return ()
    groups = load_report.rejected.groupby(["column", "reason"], sort=False)["row"].nunique()
    reasons = "; ".join(
        f"{column} {reason} ({n_rows:,})"
        for column, reason, n_rows in groups.reset_index().itertuples(index=False)
    )
    return (f"{pluralize(load_report.rejected_rows, 'row')} of the file were rejected: {reasons}.",)


@dataclass(frozen=True)
class _Models:
    """The baseline and its report, the report of the boosted model, and why one is missing."""

    baseline: BaselineModel | None = None
    report: ModelReport | None = None
    boosted: ModelReport | None = None
    problem: str | None = None


def _evaluate_baseline(manager: DatabaseManager, transactions: pl.DataFrame) -> _Models:
    """Train the baseline model, store its predictions and report its performance."""
    from synfin_analytics.baseline import fit_baseline
    from synfin_analytics.io import load_df
    from synfin_analytics.reports import model_report

    if not transactions["is_fraud"].sum():
        return _Models(problem="No model was trained: no transaction is labelled as fraud.")
    try:
        model = fit_baseline(transactions)
    except ArgumentError as error:
        return _Models(problem=f"No model was trained: {error}")
    load_df(model.predictions, "model_predictions", manager=manager)
    with manager.session_scope() as session:
        notes = tuple(_baseline_notes(model))
        return _Models(model, model_report(model.name, model.version, session=session, notes=notes))


def _evaluate_boosted(manager: DatabaseManager, models: _Models) -> _Models:
    """Store the features and the predictions of the boosted model, and report its performance."""
    from synfin_analytics.cli._demo_model import NAME, VERSION, train_boosted_model
    from synfin_analytics.io import load_df
    from synfin_analytics.reports import model_report
    from synfin_analytics.repositories import MLFeaturesRepository

    baseline = models.baseline
    if baseline is None:
        return models
    with manager.session_scope() as session:
        MLFeaturesRepository(session).engineer()
        try:
            boosted = train_boosted_model(session, baseline)
        except (ArgumentError, MissingDependencyError) as error:
            return replace(models, problem=f"No gradient-boosted model was trained: {error}")
        load_df(boosted.predictions, "model_predictions", session=session)
    with manager.session_scope() as session:
        report = model_report(
            NAME,
            VERSION,
            compare_with=(baseline.name, baseline.version),
            session=session,
            notes=boosted.notes,
        )
    return replace(models, boosted=report)


def _baseline_notes(model: BaselineModel) -> Iterator[str]:
    from synfin_analytics._core.formatting import format_date, format_percent, pluralize
    from synfin_analytics.baseline import FEATURES

    yield (
        f"{model.name} {model.version} is a logistic regression on {len(FEATURES)} features that "
        f"are known at the time of a payment: {', '.join(FEATURES.values())}. It is a baseline for "
        "comparison, not a model for production."
    )
    yield (
        f"It was trained on {pluralize(model.n_train, 'payment')} up to "
        f"{format_date(model.train_end)}, including {pluralize(model.n_train_frauds, 'fraud')}."
    )
    yield (
        f"A score of at least {format_percent(model.threshold)} raises an alert; this threshold "
        "maximizes F1 on the training payments. The metrics are of payments from "
        f"{format_date(model.test_start)} on, which were not used for training. The payments in "
        "between are excluded, because labels arrive with a delay."
    )


def _write_files(report: FraudReport, models: _Models, folder: Path) -> list[Path]:
    """Write the reports and plots, and return their paths."""
    from synfin_analytics.reports._figures import fraud_rate_image

    folder.mkdir(parents=True, exist_ok=True)
    paths = [report.save(folder / "overview.html")]
    if models.boosted is not None:
        paths.append(models.boosted.save(folder / "model_report.html"))
    if models.report is not None:
        paths.append(models.report.save(folder / "baseline_report.html"))
    rates = {"over time": report.over_time} | {
        f"by {column}": rate for column, rate in report.rates.items()
    }
    for title, rate in rates.items():
        name = title.partition(" (")[0].replace(" ", "_")
        path = folder / f"fraud_rate_{name}.png"
        path.write_bytes(fraud_rate_image(rate, f"Fraud rate {title}"))
        paths.append(path)
    return paths


# -- Output ----------------------------------------------------------------------------------------


def _echo_report(report: FraudReport) -> None:
    from synfin_analytics.plots.fraud_rate import group_names
    from synfin_analytics.reports._fraud_sections import fraud_rate_rows

    _echo_heading("Summary")
    _echo_sentences([*report.summary_text(), *report.notes])
    for column, rate in report.rates.items():
        _echo_heading(f"Fraud rate by {column}")
        name = column.partition(" (")[0]
        headers = (name, "transactions", "labelled", "frauds", "rate", "interval")
        echo_table(headers, fraud_rate_rows(rate, group_names(rate), with_amounts=False))


def _echo_models(models: _Models) -> None:
    titles = {"Baseline model": models.report, "Gradient-boosted model": models.boosted}
    reports = {title: report for title, report in titles.items() if report is not None}
    for title, report in reports.items():
        _echo_heading(title)
        _echo_sentences([*report.summary_text(), *report.notes])
    if models.problem is not None:
        _echo_heading("Model")
        _echo_sentences([models.problem])
    if models.boosted is None:
        return
    _echo_heading(f"Both models at {models.boosted.settings.alerts_per_day} alerts a day")
    echo_table(
        ("model", "alerts", "precision", "frauds caught", "recall", "cost", "saved"),
        [_budget_row(report) for report in reports.values()],
    )
    _echo_sentences([_budget_note(models.boosted)])


def _budget_row(report: ModelReport) -> tuple[str, ...]:
    """Return what a model achieves at the threshold that keeps to the alert budget."""
    from synfin_analytics._core.formatting import format_amount, format_metric

    thresholds = report.thresholds
    row: Any = thresholds[thresholds["criterion"] == "alert budget"].iloc[0]
    caught = report.evaluation.at_threshold(row["threshold"]).confusion.tp
    return (
        f"{report.name} {report.version}",
        f"{row['alerts']:,.0f}",
        format_metric("precision", row["precision"]),
        f"{caught:,}",
        format_metric("recall", row["recall"]),
        format_amount(row["cost"]),
        format_amount(row["saved"]),
    )


def _budget_note(report: ModelReport) -> str:
    from synfin_analytics._core.formatting import format_amount

    return (
        "The threshold of each model is the one that gives so many alerts on these payments. Cost "
        f"is {format_amount(report.settings.cost_per_alert)} per alert plus the value of missed "
        "frauds; saved is compared with no alerts at all."
    )


def _echo_paths(paths: list[Path]) -> None:
    _echo_heading("Files")
    for path in paths:
        click.echo(f"  {path.resolve()}")
    click.echo(f"  The transactions are in the database {DATABASE}. To query them, start Python or")
    click.echo(f"  Jupyter with DB_NAME={DATABASE} in its environment:")
    click.echo('    from synfin_analytics import read_df; read_df("transactions")')


def _echo_heading(text: str) -> None:
    click.echo()
    click.secho(text, bold=True, underline=True)


def _echo_sentences(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        click.echo(click.wrap_text(sentence, 96, "  ", "    "))
