"""Every error that this package raises on purpose.

One base class, :class:`SynfinError`; each kind also derives from the built-in that it refines, so
that ``except ValueError`` keeps working. A message says what is wrong, where, and what to do.
Neither a message nor an attribute ever carries a password or a card holder's personal data.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class SynfinError(Exception):
    """Base class of all errors of this package."""


class ConfigurationError(SynfinError, ValueError):
    """A setting is missing, malformed or contradicts another one.

    Attributes
    ----------
    variable
        The environment variable or field that is wrong, if it is one.
    """

    def __init__(self, message: str, *, variable: str | None = None) -> None:
        super().__init__(message)
        self.variable = variable


class EmbeddedServerError(SynfinError, RuntimeError):
    """The embedded PostgreSQL could not be created, started or stopped."""


class DatabaseConnectionError(SynfinError, ConnectionError):
    """The server cannot be reached, or refuses the user, the password or the certificate."""


class SchemaError(SynfinError, RuntimeError):
    """The database has no tables yet, or those of another version of this package."""


class MissingDependencyError(SynfinError, ImportError):
    """An optional package is needed for this call.

    The message names the command that installs it.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f'Install it with: pip install "synfin-analytics[{extra}]"'
        )
        self.package = package
        self.extra = extra


class NotFoundError(SynfinError, LookupError):
    """A table, column or other name does not exist; the nearest existing ones are named."""

    def __init__(self, kind: str, name: object, known: Iterable[str], *, where: str = "") -> None:
        known = [str(one) for one in known]
        self.kind = kind
        self.name = name
        self.nearest = nearest_names(str(name), known)
        place = f" in {where}" if where else ""
        hint = (
            f" Did you mean {' or '.join(map(repr, self.nearest))}?"
            if self.nearest
            else f" Known: {', '.join(sorted(known))}."
        )
        super().__init__(f"There is no {kind} {name!r}{place}.{hint}")


class QueryError(SynfinError, ValueError):
    """A query cannot be run, or its result cannot be shown faithfully as a DataFrame."""


class ArgumentError(SynfinError, ValueError):
    """An argument of a call is outside what the call accepts."""


def nearest_names(name: str, known: Iterable[str], *, most: int = 2) -> list[str]:
    """Names among ``known`` that ``name`` was perhaps meant to be, best first.

    Examples
    --------
    >>> nearest_names("TX_AMOUNT", ["amount", "timestamp", "status"])
    ['amount']
    """
    by_folded: dict[str, str] = {}
    for one in known:
        by_folded.setdefault(_folded(one), one)
    matches = get_close_matches(_folded(name), list(by_folded), n=most, cutoff=0.6)
    return [by_folded[match] for match in matches]


def _folded(name: str) -> str:
    return name.casefold().replace("_", "").replace(" ", "").replace("-", "").removeprefix("tx")
