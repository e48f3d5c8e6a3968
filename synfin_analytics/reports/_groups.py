"""Which groups a report looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from synfin_analytics._core import arguments
from synfin_analytics.database.models import Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

#: Columns whose groups are worth comparing, and how each is called; the first with few values are
#: taken.
USUAL = {
    "channel": "channel",
    "merchant_category": "merchant category",
    "entry_mode": "entry mode",
    "country": "country",
    "time_of_day_category": "time of day (UTC)",
    "day_of_week": "day of the week (0 = Monday)",
    "hour_of_day": "hour of the day (UTC)",
}
#: Values that such a column has at most, and how many columns are taken.
MOST_GROUPS = 30
_MOST_COLUMNS = 2
_LIST_OF_COLUMNS = "`by` must be columns, such as ['channel', ('channel', 'country')]; got {}."


def named(by: str | tuple[str, ...]) -> str:
    """Say what makes the groups."""
    names = [by] if isinstance(by, str) else by
    return " and ".join(USUAL.get(name, name.replace("_", " ")) for name in names)


def listed(by: str | Sequence[str | tuple[str, ...]]) -> list[str | tuple[str, ...]]:
    """Check what a caller wants to group by.

    Raises
    ------
    ArgumentError
        It is nothing to group by, or would tell who somebody is.
    NotFoundError
        ``transactions`` has no such column.
    """
    wanted: list[str | tuple[str, ...]] = []
    if not isinstance(by, (str, list, tuple)):
        raise ArgumentError(_LIST_OF_COLUMNS.format(arguments.format_value(by)))
    for one in [by] if isinstance(by, str) else by:
        names = [one] if isinstance(one, str) else one
        if (
            not isinstance(names, (list, tuple))
            or not names
            or not all(isinstance(name, str) for name in names)
        ):
            raise ArgumentError(_LIST_OF_COLUMNS.format(arguments.format_value(by)))
        for name in names:
            _check(name)
        wanted.append(one if isinstance(one, str) else tuple(one))
    return wanted


def _check(name: str) -> None:
    columns = Transaction.__table__.c
    if name not in columns:
        raise NotFoundError("column", name, columns.keys(), location="'transactions'")
    if columns[name].info.get("pii") or name in {"transaction_id", "customer_id"}:
        raise ArgumentError(
            f"`by` must be columns that many card holders share; got {name!r}, which would put "
            "single card holders into a report."
        )


def model(given: Any) -> tuple[str, str]:
    """Check the name and version of a model."""
    if not isinstance(given, (tuple, list)) or len(given) != 2 or isinstance(given, str):
        raise ArgumentError(
            f"`compare_with` must be a name and a version, as ('rf', '1.0'); got "
            f"{arguments.format_value(given)}."
        )
    name, version = given
    return (
        arguments.check_string(name, "compare_with name"),
        arguments.check_string(version, "compare_with version", example="1.0"),
    )


def chosen(
    session: Session, restrict: Callable[[Select[Any]], Select[Any]]
) -> list[str | tuple[str, ...]]:
    """Take the first usual columns that have several values, but few; NULL is one.

    Parameters
    ----------
    session
        Where the rows are.
    restrict
        Lets a query of ``transactions`` be of the rows of the report.
    """
    found: list[str | tuple[str, ...]] = []
    for name in USUAL:
        values = restrict(select(Transaction.__table__.c[name])).distinct().limit(MOST_GROUPS + 1)
        counted = select(func.count()).select_from(values.subquery())
        if 2 <= session.execute(counted).scalar_one() <= MOST_GROUPS:
            found.append(name)
        if len(found) == _MOST_COLUMNS:
            break
    return found
