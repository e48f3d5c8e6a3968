"""What stands where in somebody's file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TypeAlias

import polars as pl

from synfin_analytics._core.validation.spec import TableSpec, spec_of
from synfin_analytics.database.models import model_of
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.io.layouts._cells import columns_of, named_columns

#: Column of one of our tables: the name of a column of the file, or an expression of polars.
Mapped: TypeAlias = Mapping[str, "str | pl.Expr"]

#: Needed of every layout; transactions without an id are numbered from 1, in their order.
NEEDED = ("customer_id", "merchant_id", "amount", "timestamp")


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Say for columns of our tables which columns of a file they come from.

    Parameters
    ----------
    transactions
        Column of ``transactions``: its name in the file, or a polars expression of what is there.
        customer_id, merchant_id, amount and timestamp must be among them. A timestamp that is a
        duration counts from the ``start`` that :func:`read_layout` is given.
    customers, merchants
        The same of the other two tables, for files that tell more of a customer or a merchant than
        the key. What differs among the rows of a customer is left empty: it is none of theirs.
    name
        What messages call it.
    about
        What the data are, and where their columns are documented.

    Raises
    ------
    NotFoundError
        A table has no such column; the message names the nearest.
    ArgumentError
        A column that is needed is not mapped.

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

    transactions: Mapped
    customers: Mapped = dataclasses.field(default_factory=dict)
    merchants: Mapped = dataclasses.field(default_factory=dict)
    name: str = "your own"
    about: str = ""

    def __post_init__(self) -> None:
        for table in ("transactions", "customers", "merchants"):
            known = spec_for(table).columns
            mapped = getattr(self, table)
            if not isinstance(mapped, Mapping):
                raise ArgumentError(
                    f"`{table}` of a layout must be a dict of our columns and theirs; got "
                    f"{type(mapped).__name__}."
                )
            for column, source in mapped.items():
                if column not in known:
                    raise NotFoundError("column", column, known, where=repr(table))
                if not isinstance(source, str | pl.Expr):
                    raise ArgumentError(
                        f"{column} of {table!r} in the layout {self.name!r} must be the name of a "
                        f"column of the file, or an expression of polars; got {source!r}."
                    )
        missing = [name for name in NEEDED if name not in self.transactions]
        if missing:
            raise ArgumentError(
                f"The layout {self.name!r} does not say where {', '.join(missing)} of "
                "'transactions' can be found."
            )

    def wanted(self, known: Iterable[str]) -> list[str]:
        """Columns of the file that it looks at, those that it selects by a pattern as well."""
        known = list(known)
        wanted = set(self.columns)
        for mapped in (self.transactions, self.customers, self.merchants):
            for source in mapped.values():
                if not isinstance(source, str):
                    wanted |= set(columns_of(source, known))
        return [name for name in known if name in wanted]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the file that it needs, each once."""
        found: dict[str, None] = {}
        for mapped in (self.transactions, self.customers, self.merchants):
            for source in mapped.values():
                names = [source] if isinstance(source, str) else named_columns(source)
                found |= dict.fromkeys(names)
        return tuple(found)

    def __repr__(self) -> str:
        return f"Layout({self.name}: {', '.join(self.columns)})"


def spec_for(table: str) -> TableSpec:
    """Columns of a table, and what they accept."""
    return spec_of(model_of(table))
