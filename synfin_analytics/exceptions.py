"""Every error that this package raises on purpose.

One base class, :class:`SynfinError`; each kind also derives from the built-in that it refines, so
that ``except ValueError`` keeps working. A message says what is wrong, where, and what to do.
Neither a message nor an attribute ever carries a password or a card holder's personal data.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd


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


class ForkedProcessError(SynfinError, RuntimeError):
    """A call needs threads that a fork left behind in the parent process."""


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


class InvalidDataError(SynfinError, ValueError):
    """Data that a table does not accept; nothing of them was loaded.

    Attributes
    ----------
    table
        Name of the table.
    problems
        Every problem, by column: each with ``column``, ``reason``, ``count``, ``rows`` (positions
        in the data, from 0) and ``samples`` (values as text; none of personal data).
    """

    def __init__(self, table: str, problems: Sequence[Problem], note: str = "") -> None:
        self.table = table
        self.problems = tuple(problems)
        super().__init__("\n".join(filter(None, (_told(table, self.problems), note))))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that have a problem, each once."""
        return tuple(dict.fromkeys(problem.column for problem in self.problems))

    def frame(self) -> pd.DataFrame:
        """One row per problem: column, reason, count, rows, samples."""
        import pandas as pd

        return pd.DataFrame(
            [
                (one.column, one.reason, one.count, list(one.rows), list(one.samples))
                for one in self.problems
            ],
            columns=["column", "reason", "count", "rows", "samples"],
        )


class RejectedLabelsWarning(UserWarning):
    """Rows that a load left out had another fraud rate than the others."""


class LoadError(SynfinError, RuntimeError):
    """A load was broken off by the server, the network or a full disk; the message says which.

    Attributes
    ----------
    deadlock
        It and another session waited for each other, and PostgreSQL ended the load.
    """

    deadlock = False


@dataclass(frozen=True)
class Problem:
    """One kind of fault in one column."""

    column: str
    reason: str
    count: int
    #: Positions in the data, from 0, ascending. Empty where the whole column is at fault.
    rows: tuple[int, ...] = ()
    #: A few of the values, as text; none of personal data.
    samples: tuple[str, ...] = ()
    #: How many other values there are, where ``samples`` were to be all of them.
    other_samples: int = 0

    def __repr__(self) -> str:
        """Return a short text, however many rows there are."""
        some = ", ".join(map(str, self.rows[:MOST_ROWS_TOLD]))
        more = len(self.rows) - MOST_ROWS_TOLD
        rows = f"({some}, … {more:,} more)" if more > 0 else repr(self.rows)
        return (
            f"Problem(column={self.column!r}, reason={self.reason!r}, count={self.count}, "
            f"rows={rows}, samples={self.samples!r})"
        )

    def __str__(self) -> str:
        plain = self.column and self.column == self.column.strip() and self.column.isprintable()
        text = f"{self.column if plain else repr(self.column)}: {self.reason}"
        if not self.rows:
            return text
        some = ", ".join(f"{row:,}" for row in self.rows[:MOST_ROWS_TOLD])
        more = f" and {self.count - MOST_ROWS_TOLD:,} more" if self.count > MOST_ROWS_TOLD else ""
        noun = "row" if self.count == 1 else "rows"
        others = f" and {self.other_samples:,} others" if self.other_samples else ""
        values = f" (as {', '.join(self.samples)}{others})" if self.samples else ""
        return f"{text}: {self.count:,} {noun}: {some}{more}{values}"


MOST_ROWS_TOLD = 5
MOST_PROBLEMS_TOLD = 12
#: From so many columns on that do not fit, a layout is less work than a mapping.
MANY_COLUMNS = 5


def _told(table: str, problems: Sequence[Problem]) -> str:
    told = [f"  {problem}" for problem in problems[:MOST_PROBLEMS_TOLD]]
    if len(problems) > MOST_PROBLEMS_TOLD:
        told.append(f"  and {len(problems) - MOST_PROBLEMS_TOLD} more: see .problems or .frame()")
    if any(not problem.count for problem in problems):
        told.append(
            "Map columns with columns={'THEIRS': 'ours'}, or None to leave one out "
            "(on the command line: --column THEIRS=ours, --ignore THEIRS)."
        )
    if sum(not problem.count for problem in problems) >= MANY_COLUMNS:
        told.append(
            "For data with many columns of their own, a layout takes those that it names: "
            "read_layout(data, Layout({'ours': 'THEIRS', …})); some public data sets have one."
        )
    if any(problem.rows for problem in problems):
        told.append(
            'Rows count from 0. Correct them, or load the good rows with on_invalid="reject".'
        )
    return "\n".join([f"Nothing was loaded into {table!r}:", *told])


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


def refuse_repeated_columns(data: Any) -> None:
    """Refuse data with several columns of one name: a frame of any library, or its names.

    Raises
    ------
    ArgumentError
        A name is there more than once.

    Examples
    --------
    >>> refuse_repeated_columns(["amount", "amount"])
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: The data have more than one column named amount.
    """
    if not isinstance(data, list):
        # The columns of pyarrow are the cells.
        data = getattr(data, "column_names", getattr(data, "columns", ()))
    names = [str(name) for name in data]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArgumentError(f"The data have more than one column named {', '.join(twice)}.")
