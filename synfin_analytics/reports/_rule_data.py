"""What a report on rules is computed from: a frame, a file, or stored transactions."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import select

from synfin_analytics._core.dataframes import column_names
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError, SynfinError
from synfin_analytics.io.sources import read_column_names
from synfin_analytics.metrics.maturity import LabelMaturity, label_maturity
from synfin_analytics.reports._reading import read_rows
from synfin_analytics.reports._rows import Roles
from synfin_analytics.repositories.transactions import between
from synfin_analytics.rules import RuleEvaluation, evaluate_rules
from synfin_analytics.rules._conditions import Condition

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sqlalchemy import Select

    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.validation.options import ReadOptions

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


@dataclasses.dataclass(frozen=True)
class RuleData:
    """Rules evaluated, and how mature the labels are.

    Attributes
    ----------
    evaluation
        The rules.
    maturity
        The maturity of the labels, or the reason why it is not known.
    """

    evaluation: RuleEvaluation
    maturity: LabelMaturity | str


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
    df: Any, rules: Any, columns: RuleColumns, every: str, as_of: Bound, **options: Any
) -> RuleData:
    """Evaluate rules on a frame of any engine: the rows of a caller, a file or the database."""
    evaluation = evaluate_rules(df, rules, **vars(columns), every=every, as_of=as_of, **options)
    if not evaluation.n_transactions:
        raise ArgumentError("There are no transactions to report on.")
    return RuleData(evaluation, _measure_maturity(df, evaluation, columns, every, as_of))


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
    try:
        return label_maturity(df, *names, every=every, as_of=as_of, amount=None)
    except ArgumentError as error:
        return str(error)
