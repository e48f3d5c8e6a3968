"""A mapping from the columns of a file to those of the tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import polars as pl

from synfin_analytics._core.validation.spec import TableSpec, spec_of
from synfin_analytics.database.models import model_of
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.layouts._mapping import columns_named, columns_used

#: For columns of a table, the name of a column of the file, or a polars expression.
ColumnMapping: TypeAlias = Mapping[str, "str | pl.Expr"]

#: Columns that a layout must map; transactions without an id are numbered from 1.
REQUIRED = ("customer_id", "merchant_id", "amount", "timestamp")


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """A mapping from the columns of a file to those of the tables.

    Parameters
    ----------
    transactions
        For columns of ``transactions``, the column of the file or a polars expression of its
        columns. It must map customer_id, merchant_id, amount and timestamp. A timestamp that is a
        duration counts from the ``start`` of :func:`read_layout`.
    customers, merchants
        The same for the other two tables, for files with more columns of a customer or a merchant
        than the key. A value that differs among the rows of a customer becomes NULL.
    name
        Name of the layout in messages.
    about
        What the data are, and where their columns are documented.
    join_on
        For data in several files, the column that all of them have: files that share another
        column are concatenated, and the others are joined to the transactions. A row of the
        transactions without a match has NULL in the columns of the other file.

    Raises
    ------
    NotFoundError
        A table does not have such a column; the message names the nearest.
    ArgumentError
        A required column is not mapped.

    Examples
    --------
    >>> import polars as pl
    >>> mine = Layout(
    ...     {
    ...         "transaction_id": "id",
    ...         "customer_id": "client",
    ...         "merchant_id": "shop",
    ...         "amount": pl.col("cents") / 100,
    ...         "timestamp": "paid_at",
    ...     }
    ... )
    >>> mine.columns
    ('id', 'client', 'shop', 'cents', 'paid_at')
    """

    transactions: ColumnMapping
    customers: ColumnMapping = dataclasses.field(default_factory=dict)
    merchants: ColumnMapping = dataclasses.field(default_factory=dict)
    name: str = "your own"
    about: str = ""
    join_on: str | None = None

    def __post_init__(self) -> None:
        for table in ("transactions", "customers", "merchants"):
            columns = spec_for(table).columns
            mapping = getattr(self, table)
            if not isinstance(mapping, Mapping):
                raise ArgumentError(
                    f"`{table}` of a layout must be a dict from columns of {table!r} to columns of "
                    f"the file; got {type(mapping).__name__}."
                )
            for column, source in mapping.items():
                if column not in columns:
                    raise NotFoundError("column", column, columns, location=repr(table))
                if not isinstance(source, str | pl.Expr):
                    raise ArgumentError(
                        f"{column} of {table!r} in the layout {self.name!r} must be the name of a "
                        f"column of the file, or a polars expression; got {source!r}."
                    )
        if self.join_on is not None and not isinstance(self.join_on, str):
            raise ArgumentError(
                f"`join_on` of a layout must be the name of a column; got {self.join_on!r}."
            )
        missing = [name for name in REQUIRED if name not in self.transactions]
        if missing:
            raise ArgumentError(
                f"`transactions` of the layout {self.name!r} must map {', '.join(REQUIRED)}; "
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
            )

    def select(self, names: Iterable[str]) -> list[str]:
        """Return the columns among ``names`` that the layout uses, by name or by a pattern.

        Examples
        --------
        >>> Layout(
        ...     dict.fromkeys(["customer_id", "merchant_id", "amount", "timestamp"], "x")
        ... ).select(["x", "y"])
        ['x']
        """
        names = list(names)
        used = set(self.columns)
        for mapping in (self.transactions, self.customers, self.merchants):
            for source in mapping.values():
                if not isinstance(source, str):
                    used |= set(columns_used(source, names))
        return [name for name in names if name in used]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the file that the layout names."""
        names: dict[str, None] = {}
        for mapping in (self.transactions, self.customers, self.merchants):
            for source in mapping.values():
                named = [source] if isinstance(source, str) else columns_named(source)
                names |= dict.fromkeys(named)
        return tuple(names)

    def __repr__(self) -> str:
        return f"Layout({self.name}: {', '.join(self.columns)})"


def spec_for(table: str) -> TableSpec:
    """Return the specification of a table."""
    return spec_of(model_of(table))
