"""Which columns of a frame or file a report reads, and what they mean: its names, checked."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synfin_analytics._core.arguments import format_value
from synfin_analytics._core.dataframes import ENGINES, column_names, is_frame
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import Customer, Transaction
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.sources import open_source
from synfin_analytics.reports._groups import DEFAULT_COLUMNS, check_groupings

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from synfin_analytics.reports._groups import By, Grouping
    from synfin_analytics.reports._rows import Roles

_CODE = re.compile(r"[A-Z]{3}")
#: Columns that identify a person, wherever they are.
PERSONAL = {
    name
    for model in (Transaction, Customer)
    for name, column in spec_of(model).columns.items()
    if column.personal
} | {"transaction_id", "customer_id", "card_id"}


@dataclasses.dataclass(frozen=True)
class ReportColumns:
    """The columns of a report.

    Attributes
    ----------
    place
        Where they are, for messages.
    roles
        What they mean.
    currency
        Currency of all amounts, if a code was named instead of a column.
    groupings
        Columns to group by; None for a choice by the data.
    candidates
        Columns that are grouped by if the caller names none.
    bins, keep
        Columns of numbers that are grouped into bins, and further columns.
    is_path
        Whether they are in a file.
    """

    place: str
    roles: Roles
    currency: str | None
    groupings: list[Grouping] | None
    candidates: tuple[str, ...]
    bins: tuple[str, ...]
    keep: tuple[str, ...]
    is_path: bool

    @classmethod
    def parse(
        cls,
        data: Any,
        roles: Roles,
        *,
        by: By,
        bins: Sequence[str] = (),
        keep: Sequence[str] = (),
        period: tuple[dt.datetime | None, dt.datetime | None] = (None, None),
        as_of: dt.datetime | None = None,
        options: ReadOptions | None = None,
        caller: str,
    ) -> ReportColumns:
        """Check the names that a caller gives; arguments as of ``read_rows``.

        Raises
        ------
        NotFoundError
            A column does not exist; the message suggests the closest name.
        ArgumentError
            ``data`` is neither a DataFrame nor a path; ``period`` or ``as_of`` needs a column that
            was not named; a column to group by identifies persons; or a name begins with two
            underscores.
        """
        if period != (None, None) and roles.timestamp is None:
            raise ArgumentError(
                "`start` and `end` need the column of times: pass its name as timestamp=."
            )
        if as_of is not None and None in (roles.timestamp, roles.label_available_at):
            raise ArgumentError(
                "`as_of` needs the times of the transactions and of their labels: pass the names "
                "of their columns as timestamp= and label_available_at=."
            )
        is_path = isinstance(data, (str, Path))
        if not is_path and not is_frame(data):
            raise ArgumentError(
                f"`df` must be a DataFrame of {ENGINES}, or the path of a file; got "
                f"{format_value(data)}."
            )
        if is_path:
            names = list(open_source(data, 1, options or ReadOptions()).names)
        else:
            names = column_names(data, caller)
        place = repr(str(data)) if is_path else "the frame"
        roles, currency = _constant_currency(roles, names, place)
        for column in (*roles.given.values(), *bins, *keep):
            if column not in names:
                raise NotFoundError("column", column, names, location=place)
        parties = [roles.customer, roles.entity]
        if roles.cluster not in (roles.timestamp, roles.merchant):
            parties.append(roles.cluster)
        personal = PERSONAL | {name for name in parties if name is not None}
        groupings = (
            None if by is None else check_groupings(by, names, personal, place, roles.numbers)
        )
        excluded = personal | roles.numbers
        candidates = tuple(
            name for name in DEFAULT_COLUMNS if name in names and name not in excluded
        )
        columns = cls(
            place, roles, currency, groupings, candidates, tuple(bins), tuple(keep), is_path
        )
        _check_names(columns.names)
        return columns

    @property
    def grouped(self) -> tuple[str, ...]:
        """Columns that are grouped by, or may be."""
        if self.groupings is None:
            return self.candidates
        return tuple(
            name
            for group in self.groupings
            for name in ([group] if isinstance(group, str) else group)
        )

    @property
    def names(self) -> list[str]:
        """All columns, each once."""
        columns = [*self.roles.given.values(), *self.grouped, *self.bins, *self.keep]
        return list(dict.fromkeys(columns))


def _check_names(names: Sequence[str]) -> None:
    """Raise an ArgumentError for a column with a name of ours."""
    for name in names:
        if name.startswith("__"):
            raise ArgumentError(
                f"Names of columns must not begin with two underscores; got {name!r}. Rename it."
            )


def _constant_currency(roles: Roles, names: Sequence[str], place: str) -> tuple[Roles, str | None]:
    """Return the roles, and the currency if a code was named instead of a column."""
    name = roles.currency
    if name is None or name in names:
        return roles, None
    if not _CODE.fullmatch(name):
        raise NotFoundError(
            "column", name, names, location=f"{place} (and it is no code such as 'EUR')"
        )
    return dataclasses.replace(roles, currency=None), name
