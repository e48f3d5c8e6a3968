"""All errors that this package raises deliberately.

They share one base class, :class:`SynfinError`. Each also derives from the built-in exception that
it refines, so that ``except ValueError`` keeps working. A message says what is wrong, where, and
what to do. Neither messages nor attributes contain a password or personal data of card holders.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd


class SynfinError(Exception):
    """Base class of all errors of this package."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the constructor, whose parameters differ: workers return errors."""
        return _restore, (type(self), self.args, self.__dict__)


def _restore(error: type[SynfinError], args: tuple[Any, ...], state: dict[str, Any]) -> SynfinError:
    restored = error.__new__(error)
    restored.args = args
    restored.__dict__.update(state)
    return restored


class ConfigurationError(SynfinError, ValueError):
    """A setting is missing, malformed or contradicts another one.

    Attributes
    ----------
    variable
        Name of the invalid environment variable or field, if any.
    """

    def __init__(self, message: str, *, variable: str | None = None) -> None:
        super().__init__(message)
        self.variable = variable


class ProtectedDatabaseError(SynfinError, PermissionError):
    """A call would destroy data of a protected database, and did not confirm its name.

    Attributes
    ----------
    database, environment
        Name of the database, and of its environment if one is selected.
    """

    def __init__(self, message: str, *, database: str, environment: str | None = None) -> None:
        super().__init__(message)
        self.database = database
        self.environment = environment


class EmbeddedServerError(SynfinError, RuntimeError):
    """The embedded PostgreSQL server could not be created, started or stopped."""


class DatabaseConnectionError(SynfinError, ConnectionError):
    """The server is unreachable, or rejects the user, the password or the certificate.

    Attributes
    ----------
    on_replica
        Whether a read replica failed in the middle of the call. Calling again reads elsewhere.
    """

    on_replica = False


class ForkedProcessError(SynfinError, RuntimeError):
    """The call needs threads of the parent process, which a forked process does not have."""


class SchemaError(SynfinError, RuntimeError):
    """The database has no tables, or those of another version of this package."""


class ArchiveError(SynfinError, RuntimeError):
    """A folder of archived rows is not what it must be, or rows could not be archived."""


class MissingDependencyError(SynfinError, ImportError):
    """The call requires an optional package; the message contains the command that installs it.

    Attributes
    ----------
    package, extra
        Name of the package, and the extra of this package that installs it.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} requires the package {package!r}, which is not installed. "
            f'Install it with: pip install "synfin-analytics[{extra}]"'
        )
        self.package = package
        self.extra = extra


class NotFoundError(SynfinError, LookupError):
    """A table, column or other name does not exist; the message suggests similar names.

    Attributes
    ----------
    kind, name
        Kind of the object, such as "table", and the name that does not exist.
    nearest
        Similar names that exist.

    Examples
    --------
    >>> raise NotFoundError("table", "transaction", ["customers", "transactions"])
    Traceback (most recent call last):
    synfin_analytics.exceptions.NotFoundError: There is no table 'transaction'. Did you mean \
'transactions'?
    """

    def __init__(
        self, kind: str, name: object, available: Iterable[str], *, location: str = ""
    ) -> None:
        names = [str(existing) for existing in available]
        self.kind = kind
        self.name = name
        self.nearest = nearest_names(str(name), names)
        place = f" in {location}" if location else ""
        hint = (
            f" Did you mean {' or '.join(map(repr, self.nearest))}?"
            if self.nearest
            else f" Available: {', '.join(sorted(names))}."
        )
        super().__init__(f"There is no {kind} {name!r}{place}.{hint}")


class QueryError(SynfinError, ValueError):
    """A query cannot be run, or a DataFrame cannot represent its result exactly.

    Attributes
    ----------
    on_replica
        Whether the reason is that a read replica ran the query; on the primary it may succeed.
    """

    on_replica = False


class ArgumentError(SynfinError, ValueError):
    """An argument has an invalid type or value."""


class InvalidDataError(SynfinError, ValueError):
    """The data violate the rules of a table; nothing was loaded.

    Attributes
    ----------
    table
        Name of the table.
    problems
        Every problem, ordered by column.
    """

    def __init__(self, table: str, problems: Sequence[Problem], note: str = "") -> None:
        self.table = table
        self.problems = tuple(problems)
        message = _problems_message(table, self.problems)
        super().__init__(f"{message}\n{note}" if note else message)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that have a problem, without duplicates."""
        return tuple(dict.fromkeys(problem.column for problem in self.problems))

    def to_dict(self) -> dict[str, Any]:
        """Return the name of the table and the problems, each as a dict."""
        return {"table": self.table, "problems": [problem.to_dict() for problem in self.problems]}

    def to_frame(self) -> pd.DataFrame:
        """Return one row per problem: column, reason, count, rows, samples."""
        import pandas as pd

        names = ["column", "reason", "count", "rows", "samples"]
        return pd.DataFrame([problem.to_dict() for problem in self.problems], columns=names)


class DatabaseWarning(UserWarning):
    """A server is not used as configured: a lost read replica, or a pooler with lower limits.

    The log has the same message.
    """


class RejectedLabelsWarning(UserWarning):
    """Rows that a load rejected had another fraud rate than the others."""


class LoadError(SynfinError, RuntimeError):
    """The server, the network or a full disk interrupted a load; the message says which.

    Attributes
    ----------
    deadlock
        Whether PostgreSQL ended the load because it and another session waited for each other.
    """

    deadlock = False


class ErasureError(SynfinError, RuntimeError):
    """An erasure or a pseudonymisation was not done, or not completely; the message says which."""


@dataclass(frozen=True)
class Problem:
    """One kind of invalid value in one column.

    Attributes
    ----------
    column, reason
        Name of the column, and why the values are invalid.
    count
        Number of invalid rows; 0 for a problem of the column itself.
    rows
        Positions of the rows in the data, from 0, ascending; empty if the whole column is invalid.
    samples
        Some of the invalid values as text; none of personal data.
    other_samples
        Number of further distinct values, for problems that list them.

    Examples
    --------
    >>> print(Problem("amount", "must be above 0", 2, (3, 17), ("-5.00",)))
    amount: must be above 0: 2 rows: 3, 17 (such as -5.00)
    """

    column: str
    reason: str
    count: int
    rows: tuple[int, ...] = ()
    samples: tuple[str, ...] = ()
    other_samples: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dict, tuples as lists."""
        values = asdict(self)
        return values | {"rows": list(self.rows), "samples": list(self.samples)}

    def __repr__(self) -> str:
        """Return a short text, however many rows there are."""
        first_rows = ", ".join(map(str, self.rows[:_MAX_ROWS]))
        n_more = len(self.rows) - _MAX_ROWS
        rows = f"({first_rows}, … {n_more:,} more)" if n_more > 0 else repr(self.rows)
        return (
            f"Problem(column={self.column!r}, reason={self.reason!r}, count={self.count}, "
            f"rows={rows}, samples={self.samples!r})"
        )

    def __str__(self) -> str:
        is_plain = self.column and self.column == self.column.strip() and self.column.isprintable()
        text = f"{self.column if is_plain else repr(self.column)}: {self.reason}"
        if not self.rows:
            return text
        rows = ", ".join(f"{row:,}" for row in self.rows[:_MAX_ROWS])
        more = f" and {self.count - _MAX_ROWS:,} more" if self.count > _MAX_ROWS else ""
        noun = "row" if self.count == 1 else "rows"
        other_samples = f" and {self.other_samples:,} others" if self.other_samples else ""
        values = f" (such as {', '.join(self.samples)}{other_samples})" if self.samples else ""
        return f"{text}: {self.count:,} {noun}: {rows}{more}{values}"


_MAX_ROWS = 5
_MAX_PROBLEMS = 12
#: From this number of unmatched columns on, a layout is less work than a mapping.
_MANY_COLUMNS = 5


def _problems_message(table: str, problems: Sequence[Problem]) -> str:
    lines = [f"Nothing was loaded into {table!r}:"]
    lines += [f"  {problem}" for problem in problems[:_MAX_PROBLEMS]]
    if len(problems) > _MAX_PROBLEMS:
        n_more = len(problems) - _MAX_PROBLEMS
        lines.append(f"  and {n_more} more: see .problems or .to_frame()")
    n_unmatched = sum(not problem.count for problem in problems)
    if n_unmatched:
        lines.append(
            "Map columns with columns={'SOURCE': 'target'}, and a column to None to ignore it "
            "(on the command line: --column SOURCE=target, --ignore SOURCE). "
            "suggest_columns(data), or `synfin inspect FILE`, proposes a mapping."
        )
    if n_unmatched >= _MANY_COLUMNS:
        lines.append(
            "For data with many other columns, a layout selects those that it names: "
            "read_layout(data, Layout({'target': 'SOURCE', …})); some public data sets have one."
        )
    if any(problem.rows for problem in problems):
        lines.append(
            "Row numbers start at 0. Correct the rows, or load the valid ones with "
            'on_invalid="reject".'
        )
    return "\n".join(lines)


def nearest_names(name: str, available: Iterable[str], *, max_names: int = 2) -> list[str]:
    """Return the names among ``available`` that are most similar to ``name``, best first.

    Examples
    --------
    >>> nearest_names("TX_AMOUNT", ["amount", "timestamp", "status"])
    ['amount']
    """
    by_key: dict[str, str] = {}
    for existing in available:
        by_key.setdefault(_similarity_key(existing), existing)
    matches = get_close_matches(_similarity_key(name), list(by_key), n=max_names, cutoff=0.6)
    return [by_key[match] for match in matches]


def _similarity_key(name: str) -> str:
    return name.casefold().replace("_", "").replace(" ", "").replace("-", "").removeprefix("tx")


def require_unique_columns(data: Any) -> None:
    """Raise if a DataFrame of any library, or a list of names, contains a column name twice.

    Raises
    ------
    ArgumentError
        A name occurs more than once.

    Examples
    --------
    >>> require_unique_columns(["amount", "amount"])
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: Column names must be unique; got more than one \
column named amount.
    """
    if not isinstance(data, list):
        # The `columns` of pyarrow are the data.
        data = getattr(data, "column_names", getattr(data, "columns", ()))
    names = [str(name) for name in data]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ArgumentError(
            f"Column names must be unique; got more than one column named {', '.join(repeated)}."
        )
