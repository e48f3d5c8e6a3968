"""Graders of names: which of the known ones belong there, and which belongs to what."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from synfin_analytics._core.formatting import join_words
from synfin_analytics.course.graders import Grader

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A longer list of names does not help.
_LISTED = 12


def unknown(name: str, options: tuple[str, ...]) -> str:
    """Say that a name is not among the known ones; of the nearest it says nothing."""
    known = f" Known: {join_words(sorted(options))}." if len(options) <= _LISTED else ""
    return f"Unknown name: {name!r}.{known}"


@dataclass(frozen=True)
class Names(Grader):
    """Several names out of known ones, in any order.

    Attributes
    ----------
    truth
        The right ones.
    options
        All that there are.
    mistakes
        What typical mistakes give, by what is said about them.
    wrong
        What is said where this one was named and does not belong; else it is said generally.
    one
        Whether one of the right ones is asked for: there are several where they are equally good.
    """

    truth: frozenset[str]
    options: tuple[str, ...]
    asks: str
    mistakes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    one: bool = False

    def wanted(self) -> str:
        """Name the kind of answer that is expected."""
        return "a name" if self.one else "a list of names"

    def fault(self, given: Any) -> str | None:
        """Say what is wrong with them."""
        if hasattr(given, "columns"):
            given = given.to_series(0).to_list()
        given = [given] if isinstance(given, str) else given
        if isinstance(given, dict):
            given = [name for name, chosen in given.items() if chosen]
        if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
            return f"Expected {self.wanted()}, in quotes."
        known = {one.casefold(): one for one in self.options}
        for one in given:
            if one.casefold() not in known:
                return unknown(one, self.options)
        names = frozenset(known[one.casefold()] for one in given)
        if names == self.truth or (self.one and len(names) == 1 and names <= self.truth):
            return None
        for words, value in self.mistakes.items():
            if names == value:
                return words
        return self._said(names)

    def _said(self, names: frozenset[str]) -> str:
        if self.one:
            return f"Not right yet. Asked for: {self.asks}."
        for one in sorted(names - self.truth):
            return self.wrong.get(one, f"Not all of them belong to it. Asked for: {self.asks}.")
        return f"These are right, but at least one is missing. Asked for: {self.asks}."


@dataclass(frozen=True)
class Matching(Grader):
    """A name for each of several things.

    Attributes
    ----------
    truth
        The right name of each.
    options
        All names that there are.
    wrong
        What is said of a name where it does not belong: what one would see if it did.
    """

    truth: Mapping[str, str]
    options: tuple[str, ...]
    wrong: Mapping[str, str]

    def wanted(self) -> str:
        """Name the kind of answer that is expected."""
        return f"a dict with a name for each of {join_words(list(self.truth))}"

    def fault(self, given: Any) -> str | None:
        """Say what is wrong with them."""
        if not isinstance(given, dict):
            return f"Expected {self.wanted()}."
        if missing := [thing for thing in self.truth if given.get(thing) is None]:
            return f"{join_words(missing)} is missing. Expected {self.wanted()}."
        faults = []
        for thing, right in self.truth.items():
            name = given[thing]
            if not isinstance(name, str):
                return f"The name of {thing} must be a string."
            name = name.strip().casefold().replace(" ", "_")
            if name not in self.options:
                return unknown(given[thing], self.options)
            if name != right:
                faults.append(f"{thing}: {self.wrong[name]}")
        if not faults:
            return None
        fine = len(self.truth) - len(faults)
        some = "None is right yet." if not fine else "Some are right."
        return f"{some} {' '.join(faults)}"
