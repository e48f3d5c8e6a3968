"""What a report on rules is computed from: a frame, a file, or stored transactions."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals as nw
from sqlalchemy import select

from synfin_analytics._core.dataframes import column_names
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError, SynfinError
from synfin_analytics.io.read import read_df
from synfin_analytics.io.sources import read_column_names
from synfin_analytics.metrics.maturity import LabelMaturity, label_maturity
from synfin_analytics.reports._maturity import result_or_reason
from synfin_analytics.reports._reading import read_rows
from synfin_analytics.reports._rows import Roles
from synfin_analytics.repositories import TransactionRepository
from synfin_analytics.repositories.transactions import between
from synfin_analytics.rules import RuleEvaluation, evaluate_rules
from synfin_analytics.rules._conditions import Condition
from synfin_analytics.rules._parsing import parse_sql
from synfin_analytics.rules._tree import Refusal

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound
#: Start and end of the transactions.
Period: TypeAlias = "tuple[dt.datetime | None, dt.datetime | None]"
#: Columns that intervals account for, where a file has them.
_CLUSTERS = ("customer_id", "merchant_id")
#: Columns of stored transactions that every report needs.
_STORED = ("is_fraud", "amount", "timestamp", *_CLUSTERS, "label_available_at")


@dataclasses.dataclass(frozen=True)
class RuleColumns:
    """Columns of the transactions by what they mean."""

    label: str
    amount: str | None
    timestamp: str | None
    cluster: Any
    label_available_at: str


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RuleResults:
    """The numbers of a report on rules: rules evaluated, and how mature the labels are.

    Attributes
    ----------
    evaluation
        The rules.
    maturity
        The maturity of the labels, or the reason why it is not known.
    model
        The rule that is a model; or None.
    """

    evaluation: RuleEvaluation
    maturity: LabelMaturity | str
    model: str | None


def read_file(
    path: str | Path,
    rules: Mapping[str, str],
    columns: RuleColumns,
    *,
    period: Period,
    pos_label: Any,
    options: ReadOptions,
) -> Any:
    """Return the rows of a file, with the columns that its rules need in their types."""
    names = read_column_names(path, options)
    optional = {
        name: column if column in names or column != name else None
        for name, column in (
            ("amount", columns.amount),
            ("timestamp", columns.timestamp),
            ("label_available_at", columns.label_available_at),
        )
    }
    roles = Roles(columns.label, **optional)
    used = [column for text in rules.values() for column in columns_of(text, names)]
    clusters = columns.cluster
    if clusters == "auto":
        clusters = [name for name in _CLUSTERS if name in names]
    elif clusters is None or isinstance(clusters, str):
        clusters = [clusters] if clusters else []
    keep = [name for name in dict.fromkeys([*used, *clusters]) if name not in roles.given.values()]
    rows = read_rows(
        path, roles, by=[], keep=keep, period=period, pos_label=pos_label, options=options,
        caller="rules_report",
    )  # fmt: skip
    return rows.frame


def columns_of(condition: str, names: Iterable[str]) -> tuple[str, ...]:
    """Return the columns that a condition uses; none if it is not a condition of these."""
    available = list(names)
    if condition in available:
        return (condition,)
    with contextlib.suppress(SynfinError):
        return Condition.parse("", condition, available).columns
    return ()


def stored_query(rules: Mapping[str, str], period: Period, columns: RuleColumns) -> Select[Any]:
    """Return SELECT of the stored rows that rules are evaluated on, with the columns they need."""
    table = Transaction.__table__.c
    clusters = [columns.cluster] if isinstance(columns.cluster, str) else columns.cluster or ()
    names = ["transaction_id", *_STORED, *(name for name in clusters if name != "auto")]
    names += [column for text in rules.values() for column in columns_of(text, table.keys())]
    for name in names:
        if name not in table:
            raise NotFoundError("column", name, table.keys(), location="'transactions'")
    query: Any = select(*(table[name] for name in dict.fromkeys(names)))
    return query.where(*between(*period)).order_by(Transaction.timestamp)  # type: ignore[no-any-return]


def evaluate_frame(
    df: Any,
    rules: Any,
    columns: RuleColumns,
    every: str,
    as_of: Bound,
    model: str | None,
    **options: Any,
) -> RuleResults:
    """Evaluate rules on a frame of any engine: the rows of a caller, a file or the database."""
    evaluation = evaluate_rules(df, rules, **vars(columns), every=every, as_of=as_of, **options)
    if not evaluation.n_transactions:
        raise ArgumentError("There are no transactions to report on.")
    maturity = _measure_maturity(df, evaluation, columns, every, as_of)
    return RuleResults(evaluation, maturity, model if model in evaluation.names else None)


def evaluate_stored(
    session: Session,
    archive: str | Path | None,
    rules: Any,
    cluster: Any,
    period: Period,
    every: str,
    as_of: Bound,
    model: str | None,
    **options: Any,
) -> RuleResults:
    """Evaluate rules inside PostgreSQL, or on the rows of both halves if there is an archive."""
    repository, (start, end) = TransactionRepository(session), period
    times: dict[str, Any] = {
        "every": every, "as_of": as_of, "start": start, "end": end, "archive": archive,
    }  # fmt: skip
    evaluation = repository.evaluate_rules(rules, cluster=cluster, **times, **options)
    if not evaluation.n_transactions:
        raise ArgumentError("There are no transactions to report on.")
    maturity = result_or_reason(lambda: repository.label_maturity(**times))
    return RuleResults(evaluation, maturity, model if model in evaluation.names else None)


def _measure_maturity(
    df: Any, evaluation: RuleEvaluation, columns: RuleColumns, every: str, as_of: Bound
) -> LabelMaturity | str:
    """Measure the maturity of labels, or return why it is not known."""
    if evaluation.timestamp is None:
        return "No column of times was given (timestamp)."
    if columns.label_available_at not in column_names(df, "rules_report"):
        return (
            "The time at which labels arrived is not recorded "
            f"(there is no column {columns.label_available_at!r})."
        )
    names = evaluation.timestamp, columns.label, columns.label_available_at
    return result_or_reason(
        lambda: label_maturity(df, *names, every=every, as_of=as_of, amount=None)
    )


def check_conditions(
    rules: Mapping[str, str],
    data: str | None,
    *,
    label: str,
    stored: str,
    options: Mapping[str, Any],
) -> dict[str, str]:
    """Return why rules are no conditions, by name.

    Parameters
    ----------
    rules
        Conditions by name.
    data
        A file, or ``stored`` for the transactions of the database, whose columns and types are
        checked; None to check the texts alone.
    label
        Column of the labels of a file.
    stored
        What stands for the database.
    options
        How a file is written.
    """
    columns = RuleColumns(label, "amount", "timestamp", None, "label_available_at")
    failed: dict[str, str] = {}
    types: Mapping[str, Any] | None = None
    if data == stored:
        query = stored_query(rules, (None, None), dataclasses.replace(columns, label="is_fraud"))
        frame = read_df(query.limit(1), output="polars")
        names = Transaction.__table__.c.keys()
    elif data is not None:
        names = read_column_names(data, ReadOptions(**options))
        frame = read_file(
            data, rules, columns, period=(None, None), pos_label=None,
            options=ReadOptions(**options),
        )  # fmt: skip
    if data is not None:
        schema = dict(nw.from_native(frame).schema)
        types = {name: schema.get(name, nw.Unknown()) for name in names}
    for name, text in rules.items():
        try:
            if types is None:
                parse_sql(text)
            elif text not in types:
                Condition.parse(name, text, types)
        except Refusal as refusal:
            failed[name] = _as_sentence(f"{refusal}.")
        except SynfinError as error:
            failed[name] = _as_sentence(str(error).removeprefix(f"Rule {name!r}: "))
    return failed


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"
