"""The groups that a report compares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import func, select

from synfin_analytics._core.arguments import check_string, format_value
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    #: Adds the conditions of a report's rows to a query of transactions.
    Restrict = Callable[[Select[Any]], Select[Any]]

#: Columns to compare groups of; None for a choice by the data.
By: TypeAlias = str | Sequence[str | tuple[str, ...]] | None

#: Columns whose groups are compared by default, and their names; the first with few values are
#: taken.
DEFAULT_COLUMNS = {
    "channel": "channel",
    "merchant_category": "merchant category",
    "entry_mode": "entry mode",
    "country": "country",
    "time_of_day_category": "time of day (UTC)",
    "day_of_week": "day of the week (0 = Monday)",
    "hour_of_day": "hour of the day (UTC)",
}
#: Values that such a column has at most, and how many columns are taken.
MAX_GROUPS = 30
_MAX_COLUMNS = 2


def describe_grouping(by: str | tuple[str, ...]) -> str:
    """Return the name of a column, or of several, as text."""
    names = [by] if isinstance(by, str) else by
    return " and ".join(DEFAULT_COLUMNS.get(name, name.replace("_", " ")) for name in names)


def check_grouping(by: str | Sequence[str | tuple[str, ...]]) -> list[str | tuple[str, ...]]:
    """Return the columns to group by, checked.

    Raises
    ------
    ArgumentError
        ``by`` does not name columns, or names one that identifies a person.
    NotFoundError
        ``transactions`` has no such column.
    """
    message = (
        "`by` must be columns, such as ['channel', ('channel', 'country')]; "
        f"got {format_value(by)}."
    )
    if not isinstance(by, (str, list, tuple)):
        raise ArgumentError(message)
    groupings: list[str | tuple[str, ...]] = []
    for grouping in [by] if isinstance(by, str) else by:
        names = [grouping] if isinstance(grouping, str) else grouping
        if (
            not isinstance(names, (list, tuple))
            or not names
            or not all(isinstance(name, str) for name in names)
        ):
            raise ArgumentError(message)
        for name in names:
            _check_column(name)
        groupings.append(grouping if isinstance(grouping, str) else tuple(grouping))
    return groupings


def _check_column(name: str) -> None:
    columns = Transaction.__table__.c
    if name not in columns:
        raise NotFoundError("column", name, columns.keys(), location="'transactions'")
    if columns[name].info.get("pii") or name in {"transaction_id", "customer_id"}:
        raise ArgumentError(
            f"`by` must be columns that many card holders share; got {name!r}, which would put "
            "single card holders into a report."
        )


def check_model(model: object) -> tuple[str, str]:
    """Return the name and version of the model to compare with, checked."""
    if not isinstance(model, (tuple, list)) or len(model) != 2:
        raise ArgumentError(
            "`compare_with` must be a name and a version, such as ('rf', '1.0'); got "
            f"{format_value(model)}."
        )
    name, version = model
    return (
        check_string(name, "compare_with name"),
        check_string(version, "compare_with version", example="1.0"),
    )


def choose_grouping(session: Session, restrict: Restrict) -> list[str | tuple[str, ...]]:
    """Return the first default columns that have several values, but few; NULL is a value.

    Parameters
    ----------
    session
        Where the rows are.
    restrict
        Restricts a query of ``transactions`` to the rows of the report.
    """
    columns: list[str | tuple[str, ...]] = []
    for name in DEFAULT_COLUMNS:
        values = restrict(select(Transaction.__table__.c[name])).distinct().limit(MAX_GROUPS + 1)
        count = select(func.count()).select_from(values.subquery())
        if 2 <= session.execute(count).scalar_one() <= MAX_GROUPS:
            columns.append(name)
        if len(columns) == _MAX_COLUMNS:
            break
    return columns
