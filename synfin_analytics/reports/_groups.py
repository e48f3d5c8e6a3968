"""The groups that a report compares, and those with the highest or lowest rate.

No group is omitted silently: groups with equal rates are named together, a group with few frauds is
described as such, and so is the first of the groups that have more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

from synfin_analytics._core.arguments import format_value
from synfin_analytics._core.formatting import format_percent_interval, join_words, pluralize
from synfin_analytics.exceptions import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

#: A column to compare groups of, or several together.
Grouping: TypeAlias = str | tuple[str, ...]
#: Columns to compare groups of; None for a choice by the data.
By: TypeAlias = str | Sequence[Grouping] | None

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
#: A rate that is based on fewer frauds is uncertain.
MIN_FRAUDS = 10
#: Groups with equal rates that are named at most.
_MAX_NAMED = 3


# -- The groups to compare ------------------------------------------------------------------------


def describe_grouping(by: Grouping) -> str:
    """Return the name of a column, or of several, as text."""
    names = [by] if isinstance(by, str) else by
    return " and ".join(DEFAULT_COLUMNS.get(name, name.replace("_", " ")) for name in names)


def check_groupings(
    by: str | Sequence[Grouping],
    available: Collection[str],
    personal: Collection[str],
    place: str,
    numbers: Collection[str] = (),
) -> list[Grouping]:
    """Return the columns to group by, checked.

    Parameters
    ----------
    by
        The columns.
    available
        All columns of the rows.
    personal
        Those that identify a person.
    place
        Where the columns are, for messages.
    numbers
        Those of labels and scores, which are what is compared.

    Raises
    ------
    ArgumentError
        ``by`` does not name columns, or names one that identifies a person.
    NotFoundError
        There is no such column.
    """
    message = (
        "`by` must be columns, such as ['channel', ('channel', 'country')]; "
        f"got {format_value(by)}."
    )
    if not isinstance(by, (str, list, tuple)):
        raise ArgumentError(message)
    groupings: list[Grouping] = []
    for grouping in [by] if isinstance(by, str) else by:
        names = [grouping] if isinstance(grouping, str) else grouping
        if (
            not isinstance(names, (list, tuple))
            or not names
            or not all(isinstance(name, str) for name in names)
        ):
            raise ArgumentError(message)
        for name in names:
            if name not in available:
                raise NotFoundError("column", name, available, location=place)
            if name in personal:
                raise ArgumentError(personal_grouping(name))
            if name in numbers:
                raise ArgumentError(
                    f"`by` must be columns of groups; got {name!r}, the column of labels or scores."
                )
        groupings.append(grouping if isinstance(grouping, str) else tuple(grouping))
    return groupings


def personal_grouping(name: str) -> str:
    """Return the message about a column to group by that identifies persons."""
    return (
        f"`by` must be columns that many card holders share; got {name!r}, which would put single "
        "card holders into a report."
    )


def choose_first(names: Iterable[str], count_values: Callable[[str], int]) -> list[Grouping]:
    """Return the first columns that have several values, but few.

    Parameters
    ----------
    names
        The columns.
    count_values
        Counts the distinct values of a column, at least up to :data:`MAX_GROUPS` and one more.
    """
    columns: list[Grouping] = []
    for name in names:
        if 2 <= count_values(name) <= MAX_GROUPS:
            columns.append(name)
        if len(columns) == _MAX_COLUMNS:
            break
    return columns


# -- Extreme groups -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """A group and its rate.

    Attributes
    ----------
    name
        Name of the group.
    count, total
        The rate is ``count`` of ``total``.
    low, high
        Confidence interval of the rate.
    frauds
        Number of frauds that the rate is based on.
    interval_name
        Name of the interval, as ``"95% CI"``.
    reliable
        Whether the interval is based on enough customers with fraud.
    """

    name: str
    count: int
    total: int
    low: float
    high: float
    frauds: int
    interval_name: str
    reliable: bool = True

    @property
    def rate(self) -> Fraction:
        """Exact rate, so that equal rates compare equal."""
        return Fraction(self.count, self.total)

    @property
    def small(self) -> bool:
        """Whether the rate is based on few frauds."""
        return self.frauds < MIN_FRAUDS

    def describe_interval(self) -> str:
        """Return the interval as text."""
        interval = f"{self.interval_name} {format_percent_interval(self.low, self.high)}"
        return interval if self.reliable else f"{interval}, unreliable"


@dataclass(frozen=True)
class Extreme:
    """The groups with the highest, or the lowest, rate.

    Attributes
    ----------
    groups
        All groups with that rate, those with many frauds first.
    large_groups
        Where ``groups`` are small: the groups with that extreme among the others.
    n_between
        Small groups whose rates lie between those of the two.
    n_groups
        Groups that have a rate.
    """

    groups: tuple[Group, ...]
    large_groups: tuple[Group, ...]
    n_between: int
    n_groups: int

    @property
    def all_equal(self) -> bool:
        """Whether all groups have the same rate."""
        return len(self.groups) == self.n_groups


def find_highest(groups: Sequence[Group]) -> Extreme | None:
    """Return the groups with the highest rate; None where fewer than two groups have a rate."""
    return _find_extreme(groups, max)


def find_lowest(groups: Sequence[Group]) -> Extreme | None:
    """Return the groups with the lowest rate; None where fewer than two groups have a rate."""
    return _find_extreme(groups, min)


def _find_extreme(
    groups: Sequence[Group], choose: Callable[[list[Fraction]], Fraction]
) -> Extreme | None:
    rated = [group for group in groups if group.total]
    if len(rated) < 2:
        return None
    rate = choose([group.rate for group in rated])
    first = sorted((group for group in rated if group.rate == rate), key=lambda group: group.small)
    large = [group for group in rated if not group.small]
    if not first[0].small or not large:
        return Extreme(tuple(first), (), 0, len(rated))
    large_rate = choose([group.rate for group in large])
    first_large = [group for group in large if group.rate == large_rate]
    # Small groups that are neither equal to the first ones nor behind the large ones.
    n_between = sum(
        group.small
        and group.rate not in {rate, large_rate}
        and choose([group.rate, large_rate]) == group.rate
        for group in rated
    )
    return Extreme(tuple(first), tuple(first_large), n_between, len(rated))


def describe_groups(groups: Sequence[Group], unit: str = "", *, label: str = "") -> str:
    """Return groups of the same rate with their counts; of many groups only the first.

    Parameters
    ----------
    groups
        Groups with equal rates.
    unit
        What is counted, as ``" frauds"``.
    label
        Noun before their names, in the singular.
    """
    named = groups[:_MAX_NAMED]
    counts = [f"{group.count:,} of {group.total:,}" for group in named]
    label = f"{label}{'s' if len(groups) > 1 else ''} " if label else ""
    if len(groups) == 1:
        unit = unit.removesuffix("s") if named[0].total == 1 else unit
        return f"{label}{named[0].name}: {counts[0]}{unit} ({named[0].describe_interval()})"
    names = [f"{group.name}{' (small)' * group.small}" for group in named]
    n_more = len(groups) - len(named)
    more = [f"{n_more:,} more"] if n_more else []
    return f"{label}{join_words([*names, *more])} (tied): {join_words(counts)}{unit}"


def describe_uncertainty(
    extreme: Extreme, comparison: str, noun: str = "group", *, label: str = "group"
) -> str:
    """Return a caveat where the first groups are small, naming the first of the others; else "".

    Parameters
    ----------
    extreme
        The groups.
    comparison
        Verb and superlative, as ``"the rate is highest in"``.
    noun
        What a group is, in the singular.
    label
        Noun before the names of groups, in the singular.
    """
    if not extreme.groups[0].small:
        return ""
    rates = "this rate is" if len(extreme.groups) == 1 else "these rates are"
    text = f" With fewer than {MIN_FRAUDS} frauds, {rates} uncertain"
    if extreme.large_groups:
        large = describe_groups(extreme.large_groups, label=label)
        text += f"; among {noun}s with at least {MIN_FRAUDS} frauds, {comparison} {large}"
    if extreme.n_between:
        lie = "lies" if extreme.n_between == 1 else "lie"
        text += f"; {pluralize(extreme.n_between, f'other small {noun}')} {lie} in between"
    return f"{text}."


# -- Verbs -----------------------------------------------------------------------------------------


def was(count: int) -> str:
    """Return the verb of so many things."""
    return "was" if count == 1 else "were"


def is_(count: int) -> str:
    """Return the verb of so many things."""
    return "is" if count == 1 else "are"


def has(count: int) -> str:
    """Return the verb of so many things."""
    return "has" if count == 1 else "have"
