"""The group with the highest or lowest rate, in words that hold for every group.

No group is left out silently: groups with the same rate are named together, a group of few frauds
is named as such, and so is the first of the groups that have more.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.formatting import pluralize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: A rate of fewer frauds is uncertain.
FEW = 10
#: Groups with the same rate that are named at most.
_NAMED = 3


@dataclass(frozen=True)
class Group:
    """A group and its rate.

    Attributes
    ----------
    name
        What the group is called.
    part, whole
        The rate is ``part`` of ``whole``.
    low, high
        Its interval.
    frauds
        How many frauds the rate is based on.
    rough
        Whether the interval is based on few customers with a fraud.
    """

    name: str
    part: int
    whole: int
    low: float
    high: float
    frauds: int
    rough: bool = False

    @property
    def rate(self) -> Fraction:
        """Exact rate, so that equal ones are equal."""
        return Fraction(self.part, self.whole)

    @property
    def small(self) -> bool:
        """Whether the rate is based on few frauds."""
        return self.frauds < FEW

    def interval(self) -> str:
        """Write its interval."""
        rough = "rough " if self.rough else ""
        return f"{rough}interval {wording.format_percent_interval(self.low, self.high)}"


@dataclass(frozen=True)
class Extreme:
    """Groups with the highest, or the lowest, rate.

    Attributes
    ----------
    first
        All groups with that rate, those of many frauds first.
    of_many
        Where ``first`` are small: the groups with that rate among those that are not.
    between
        Small groups whose rates lie between the two.
    known
        Groups that have a rate.
    """

    first: tuple[Group, ...]
    of_many: tuple[Group, ...]
    between: int
    known: int

    @property
    def alike(self) -> bool:
        """Whether all groups have the same rate."""
        return len(self.first) == self.known


def highest(groups: Sequence[Group]) -> Extreme | None:
    """Find the groups with the highest rate; None where fewer than two have one."""
    return _extreme(groups, max)


def lowest(groups: Sequence[Group]) -> Extreme | None:
    """Find the groups with the lowest rate; None where fewer than two have one."""
    return _extreme(groups, min)


def _extreme(
    groups: Sequence[Group], choose: Callable[[list[Fraction]], Fraction]
) -> Extreme | None:
    known = [group for group in groups if group.whole]
    if len(known) < 2:
        return None
    rate = choose([group.rate for group in known])
    first = sorted((group for group in known if group.rate == rate), key=lambda one: one.small)
    large = [group for group in known if not group.small]
    if not first[0].small or not large:
        return Extreme(tuple(first), (), 0, len(known))
    best = choose([group.rate for group in large])
    of_many = [group for group in large if group.rate == best]
    # Small groups between the two: neither equal to the first nor behind the large ones.
    between = sum(
        group.small and group.rate not in {rate, best} and choose([group.rate, best]) == group.rate
        for group in known
    )
    return Extreme(tuple(first), tuple(of_many), between, len(known))


def words(groups: Sequence[Group], of: str = "") -> str:
    """Name groups of the same rate with their counts; of many of them only the first."""
    named = groups[:_NAMED]
    counts = [f"{group.part:,} of {group.whole:,}" for group in named]
    if len(groups) == 1:
        of = of.removesuffix("s") if named[0].whole == 1 else of
        return f"{named[0].name}: {counts[0]}{of} ({named[0].interval()})"
    names = [f"{group.name}{' (small)' * group.small}" for group in named]
    more = [pluralize(len(groups) - len(named), "more group")] if len(groups) > len(named) else []
    return f"{wording.join_words([*names, *more])} alike: {wording.join_words(counts)}{of}"


def caveat(extreme: Extreme, superlative: str, noun: str = "group") -> str:
    """Say that the first groups are small, and which is first of the others; "" if they are not."""
    if not extreme.first[0].small:
        return ""
    rates = "this rate is" if len(extreme.first) == 1 else "these rates are"
    said = f" With fewer than {FEW} frauds, {rates} uncertain"
    if extreme.of_many:
        said += (
            f"; of the {noun}s with at least {FEW} frauds, {superlative} {words(extreme.of_many)}"
        )
    if extreme.between:
        said += (
            f"; {pluralize(extreme.between, f'more small {noun}')} "
            f"{'lies' if extreme.between == 1 else 'lie'} between"
        )
    return f"{said}."
