"""The report on rules: which earn their alerts, which do not, and what to worry about."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from synfin_analytics._core.arguments import check_column_name
from synfin_analytics._core.dates import parse_range
from synfin_analytics._core.formatting import pluralize
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.reports import _rule_sections as sections
from synfin_analytics.reports._database import compute_in_session
from synfin_analytics.reports._page import Finding, Report, check_page_path, versions_table
from synfin_analytics.reports._rule_data import (
    Period,
    RuleColumns,
    RuleResults,
    evaluate_frame,
    evaluate_stored,
    read_file,
    stored_query,
)
from synfin_analytics.reports._sources import format_as_of
from synfin_analytics.reports.provenance import Provenance, format_bound
from synfin_analytics.rules import RuleFile, read_rules
from synfin_analytics.rules._sources import parse_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoFrame
    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics.metrics.maturity import LabelMaturity
    from synfin_analytics.rules import RuleEvaluation
    from synfin_analytics.rules.evaluate import Rules

#: Characters of a condition that is no text, such as an expression of polars.
_MAX_TEXT = 2000
_COST = 5.0
_LABEL, _AMOUNT, _TIMESTAMP, _AVAILABLE = "is_fraud", "amount", "timestamp", "label_available_at"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RulesReport(RuleResults, Report):
    """Report on rules, created by :func:`rules_report`.

    It displays itself in a notebook.

    Attributes
    ----------
    evaluation
        Result of ``evaluate_rules``: all numbers.
    conditions
        Text of each rule's condition, by name, also of those that could not be evaluated.
    descriptions, owners
        What rules look for, and who maintains them, by name.
    model
        The rule that is a model, which the others are put beside; or None.
    maturity
        Maturity of the labels, or the reason why it is not known.
    omitted
        Sections that are left out, and the reason.
    source
        Description of the transactions.
    notes
        Sentences of the caller.
    provenance, created_at
        How to reproduce the report, and when it was created.

    Examples
    --------
    >>> from synfin_analytics import rules_report, simulate
    >>> payments = simulate(30, 20, days=30).transactions
    >>> report = rules_report(payments, {"high": "amount > 300", "night": "amount < 0"})
    >>> report.title, report.evaluation.never_fired
    ('Rules report: 2 rules', ('night',))
    """

    conditions: Mapping[str, str]
    descriptions: Mapping[str, str]
    owners: Mapping[str, str]
    omitted: Mapping[str, str]
    source: str
    notes: tuple[str, ...]
    provenance: Provenance
    created_at: dt.datetime

    _template: ClassVar[str] = "rules.html.j2"

    @property
    def title(self) -> str:
        """Title of the report."""
        return f"Rules report: {self.source}"

    @property
    def findings(self) -> list[Finding]:
        """Sentences of the summary, each with the number that supports it."""
        return list(sections.findings(self))

    @property
    def caveats(self) -> list[str]:
        """What the numbers cannot show."""
        return list(sections.caveats(self))

    def _context(self) -> Mapping[str, object]:
        judgements = sections.judge(self.evaluation)
        as_of = self.evaluation.as_of
        immature = sections.immature_cohorts(self.maturity)
        return {
            "tables": sections.tables(self) | {"versions": versions_table(self.provenance)},
            "figures": sections.figures(self),
            "headlines": sections.headlines(self),
            "judgements": judgements,
            "judgement_of": {judgement.rule: judgement for judgement in judgements},
            "concerns": sections.concerns(self),
            "as_of": None if as_of is None else format_as_of(as_of),
            "n_immature": 0 if immature is None else len(immature),
            "measured": not isinstance(self.maturity, str),
        }


def rules_report(
    df: IntoFrame | TransactionSource | str | Path | None = None,
    rules: Rules | str | Path | None = None,
    *,
    label: str = _LABEL,
    amount: str | None = _AMOUNT,
    timestamp: str | None = _TIMESTAMP,
    cluster: str | Sequence[str] | None = "auto",
    every: str = "1w",
    cost_per_alert: float | None = None,
    recovery_rate: float = 1.0,
    model: str | None = None,
    as_of: Bound = None,
    label_available_at: str = _AVAILABLE,
    pos_label: Any = None,
    start: Bound = None,
    end: Bound = None,
    session: Session | None = None,
    archive: str | Path | None = None,
    confidence_level: float = 0.95,
    source: str | None = None,
    notes: Sequence[str] = (),
    path: str | Path | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
) -> RulesReport:
    """Report on rules: which earn their alerts, which do not, and what to worry about.

    ``rules_report(df, "rules.toml")`` needs no database. Without ``df``, the report is on the
    transactions in the database: ``rules_report(rules="rules.toml")``.

    Parameters
    ----------
    df
        Transactions, one a row: a frame of pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or
        PySpark, or the path of a file that :func:`load_df` reads. Of a file, the columns that the
        rules use are read; texts that are all numbers, true or false, or times become that.
    rules
        The path of a TOML file (:func:`synfin_analytics.read_rules`), or rules as for
        :func:`synfin_analytics.evaluate_rules`. A file and stored transactions take SQL conditions.
    label, amount, timestamp, cluster, every, recovery_rate
        As for :func:`synfin_analytics.evaluate_rules`. Those of stored transactions are known.
    cost_per_alert
        Cost of an alert; by default that of the TOML file, or else 5.
    model
        The rule that is a model, such as its score at a threshold: the others are put beside it.
    as_of, label_available_at
        Report with the labels that were known at this date or time, as for
        :func:`synfin_analytics.evaluate_rules`. With the times at which labels became known, the
        report says which periods are not mature.
    pos_label
        The label of a file that means fraud, if labels are not true or false: ``"yes"``.
    start, end
        Period of the transactions of a file or the database: from ``start`` on and before ``end``.
        Filter a frame before.
    session
        Where to read stored transactions; by default a session of :func:`get_db_manager` that sees
        one snapshot of the database.
    archive
        Folder of :func:`archive_transactions` whose transactions are reported on, too. The columns
        that are needed are read into memory.
    confidence_level
        Confidence level of the intervals.
    source
        Description of the transactions.
    notes
        Sentences to add.
    path
        Where to save the page; by default it is not saved.
    separator, encoding, decimal, thousands, date_format, timezone
        How a file is written, as for :func:`load_df`.

    Returns
    -------
    RulesReport
        ``.save("report.html")`` writes the page; its numbers are those of ``.evaluation``.

    Raises
    ------
    ArgumentError
        There are no transactions, or no rule that can be evaluated; the file of rules is invalid;
        or an argument is, as for :func:`synfin_analytics.evaluate_rules`.
    NotFoundError
        A column, or the rule ``model``, does not exist; the message names similar ones.

    Examples
    --------
    >>> from synfin_analytics import rules_report, simulate
    >>> payments = simulate(30, 20, days=30).transactions
    >>> rules = {"large": "amount > 150", "large online": "amount > 150 AND is_online"}
    >>> report = rules_report(payments, rules, cost_per_alert=2)
    >>> [finding.name for finding in report.findings][:2]
    ['alerts', 'rules that earn their alerts']
    """
    if path is not None:
        check_page_path(path)  # before anything is computed
    given = rules
    if isinstance(rules, (str, Path)):
        rules = read_rules(rules)
    if rules is None:
        raise ArgumentError(
            "`rules` must be rules or the path of their TOML file: "
            'rules_report(df, "rules.toml"), or rules_report(rules="rules.toml") for the database.'
        )
    known = rules if isinstance(rules, RuleFile) else RuleFile(Path(), {})
    conditions, _ = parse_rules(rules)
    if cost_per_alert is None:
        cost_per_alert = _COST if known.cost_per_alert is None else known.cost_per_alert
    if model is not None and model not in conditions:
        raise NotFoundError("rule", str(model), conditions)
    period = parse_range(start, end)
    options: dict[str, Any] = {
        "every": every, "as_of": as_of, "cost_per_alert": cost_per_alert,
        "recovery_rate": recovery_rate, "confidence_level": confidence_level, "model": model,
    }  # fmt: skip
    texts: dict[str, Any] = {
        "separator": separator, "encoding": encoding, "decimal": decimal, "thousands": thousands,
        "date_format": date_format, "timezone": timezone,
    }  # fmt: skip
    columns = RuleColumns(label, amount, timestamp, cluster, label_available_at)
    changed = _changed(
        {
            "label": (label, _LABEL), "amount": (amount, _AMOUNT),
            "timestamp": (timestamp, _TIMESTAMP), "cluster": (cluster, "auto"),
            "every": (every, "1w"), "cost_per_alert": (cost_per_alert, _COST),
            "recovery_rate": (recovery_rate, 1.0), "model": (model, None),
            "as_of": (format_bound(as_of), None),
            "label_available_at": (label_available_at, _AVAILABLE), "pos_label": (pos_label, None),
            "start": (format_bound(start), None), "end": (format_bound(end), None),
            "confidence_level": (confidence_level, 0.95),
            "archive": (None if archive is None else str(archive), None),
            **{name: (value, None) for name, value in texts.items()},
        }
    )  # fmt: skip
    read: dict[str, Any] = {"pos_label": pos_label, **texts}
    if df is None:
        data, provenance = _evaluate_stored(
            session, archive, conditions, rules, columns, period, read, options
        )
    else:
        _refuse({"session": session, "archive": archive}, "the database; got it with a frame")
        rows = _read_frame(df, conditions, columns, period, read)
        data, provenance = evaluate_frame(rows, rules, columns, **options), None
    evaluation = data.evaluation
    if provenance is None:
        provenance = Provenance.from_data(df, evaluation.n_transactions, "rules_report", {})
    report = RulesReport(
        evaluation=evaluation,
        conditions={name: _describe(condition) for name, condition in conditions.items()},
        descriptions=known.descriptions,
        owners=known.owners,
        model=data.model,
        maturity=data.maturity,
        omitted=_omitted(evaluation, data.maturity, model),
        source=source or pluralize(len(conditions), "rule"),
        notes=tuple(notes),
        provenance=_reproduce(provenance, df, given, changed),
        created_at=dt.datetime.now(dt.UTC),
    )
    if path is not None:
        report.save(path)
    return report


def _evaluate_stored(
    session: Session | None,
    archive: str | Path | None,
    conditions: Mapping[str, Any],
    rules: Any,
    columns: RuleColumns,
    period: Period,
    read: Mapping[str, Any],
    options: dict[str, Any],
) -> tuple[RuleResults, Provenance]:
    """Evaluate rules on stored transactions, and describe the rows."""
    if columns != RuleColumns(_LABEL, _AMOUNT, _TIMESTAMP, columns.cluster, _AVAILABLE):
        raise ArgumentError(
            "`label`, `amount`, `timestamp` and `label_available_at` are for a frame or file; "
            "those of stored transactions are known."
        )
    _refuse(read, "a file")
    _check_texts(conditions, "stored transactions")

    def compute(session: Session) -> tuple[RuleResults, Provenance]:
        query = stored_query(conditions, period, columns)
        data = evaluate_stored(session, archive, rules, columns.cluster, period, **options)
        return data, Provenance.from_call(session, query, "rules_report", (), {})

    return compute_in_session(session, compute)


def _read_frame(
    df: Any,
    conditions: Mapping[str, Any],
    columns: RuleColumns,
    period: Period,
    read: dict[str, Any],
) -> Any:
    """Return the rows of a file; a frame is returned as it is."""
    if not isinstance(df, (str, os.PathLike)):
        start, end = period
        _refuse({"start": start, "end": end}, "a file or the database; filter the frame before")
        _refuse(read, "a file")
        return df
    check_column_name(columns.label, "label")
    _check_texts(conditions, "a file")
    options = dict(read)
    pos_label = options.pop("pos_label")
    return read_file(
        str(df), conditions, columns, period=period, pos_label=pos_label,
        options=ReadOptions(**options),
    )  # fmt: skip


def _changed(values: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    return {name: value for name, (value, default) in values.items() if value != default}


def _refuse(values: Mapping[str, Any], used_for: str) -> None:
    for name, value in values.items():
        if value is not None:
            raise ArgumentError(f"`{name}` is for {used_for}.")


def _check_texts(conditions: Mapping[str, Any], place: str) -> None:
    for name, condition in conditions.items():
        if not isinstance(condition, str):
            raise ArgumentError(
                f"Rules on {place} must be SQL conditions, as texts; rule {name!r} is of the type "
                f"{type(condition).__name__}."
            )


def _describe(condition: Any) -> str:
    """Return a condition as text."""
    if isinstance(condition, str):
        return condition
    module = type(condition).__module__.partition(".")[0]
    if type(condition).__name__ in {"Expr", "Expression", "DuckDBPyExpression", "Column"}:
        text = str(condition)
        return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
    return f"{type(condition).__name__} of {module}"


def _omitted(
    evaluation: RuleEvaluation, maturity: LabelMaturity | str, model: str | None
) -> dict[str, str]:
    omitted = {}
    if evaluation.amount is None:
        omitted["benefit"] = "No column of amounts was given (amount)."
    if evaluation.timestamp is None:
        omitted["time"] = "No column of times was given (timestamp)."
    if model is None:
        omitted["model"] = "No rule was named as a model (model)."
    elif model not in evaluation.names:
        omitted["model"] = f"Rule {model!r} was not evaluated."
    if isinstance(maturity, str):
        omitted["maturity"] = maturity
    if not evaluation.failed:
        omitted["failed"] = "All rules were evaluated."
    return omitted


def _reproduce(
    provenance: Provenance, df: Any, rules: Any, changed: Mapping[str, Any]
) -> Provenance:
    """Return how to create the report again: in Python, and from files by command."""
    is_file = isinstance(rules, (str, Path))
    data = "" if df is None else repr(str(df)) if isinstance(df, (str, Path)) else "df"
    if is_file:
        shown = repr(str(rules))
    elif _is_plain(rules):
        shown = repr(dict(rules) if isinstance(rules, Mapping) else list(rules))
    else:
        shown = "rules"
    lines = [*filter(None, [data]), shown if data else f"rules={shown}"]
    lines += [f"{name}={value!r}" for name, value in changed.items()]
    inside = "".join(f"    {line},\n" for line in lines)
    python = (
        f"from synfin_analytics import rules_report\n\nreport = rules_report(\n{inside})\n"
        'report.save("report.html")\n'
    )
    command = ""
    if is_file and (df is None or isinstance(df, (str, Path))):
        words = ["synfin", "rules", "evaluate", str(rules)]
        words += ["--data", "transactions" if df is None else str(df)]
        for name, value in changed.items():
            values = value if isinstance(value, (list, tuple)) else [value]
            option = f"--{name.replace('_', '-')}"
            if value is None:
                words.append(f"--no-{name}")
            else:
                words += [word for part in values for word in (option, str(part))]
        command = shlex.join([*words, "--out", "report.html"])
    return dataclasses.replace(provenance, python=python, command=command)


def _is_plain(rules: Any) -> bool:
    values = rules.values() if isinstance(rules, Mapping) else rules
    return all(isinstance(rule, str) for rule in values)
