"""One order of keys, in frames and in SQL.

Loads that write the same keys in the same order do not wait for each other crosswise. Shorter texts
come first, as counters run ("T9" before "T10"), so that rows mostly keep the order of their source;
texts of one length are compared byte by byte, whatever the collation of the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from psycopg2 import sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from synfin_analytics._core.validation.spec import TableSpec


def in_key_order(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Sort rows by these columns; rows of equal keys keep their order.

    Examples
    --------
    >>> in_key_order(pl.DataFrame({"id": ["T10", "b", "T9", "a"]}), ["id"])["id"].to_list()
    ['a', 'b', 'T9', 'T10']
    """
    by: list[pl.Expr] = []
    for name in names:
        if rows.schema[name] == pl.String:
            by.append(pl.col(name).str.len_bytes())
        by.append(pl.col(name))
    return rows.sort(by, maintain_order=True)


def key_order(names: Sequence[str], spec: TableSpec, alias: str) -> sql.Composed:
    """Return the same order as the terms of ORDER BY, of columns of the relation ``alias``."""
    return sql.SQL(", ").join(
        text_order(sql.Identifier(alias, name))
        if spec.columns[name].kind == "text"
        else sql.Identifier(alias, name)
        for name in names
    )


def text_order(column: sql.Identifier) -> sql.Composed:
    """Return the order of a column of texts as the terms of ORDER BY."""
    return sql.SQL('octet_length({0}), {0} COLLATE "C"').format(column)
