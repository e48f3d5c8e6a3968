"""Rows of one table from the database, in a fixed order, and their checksums in PostgreSQL."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import TABLES
from synfin_analytics.io.archive._checksums import BLOCK_ROWS, block_expressions, combine_digests
from synfin_analytics.io.archive._manifest import CHILDREN
from synfin_analytics.io.read import read_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from sqlalchemy.orm import Session

    from synfin_analytics._core.validation.spec import TableSpec
    from synfin_analytics.io.archive._manifest import ColumnSummary

#: Column with the version of a row: PostgreSQL gives it another one with each change.
ROW_VERSION = "__xmin__"


def month_range(month: str) -> tuple[dt.datetime, dt.datetime]:
    """Return the first moment of a month, and of the next one, in UTC.

    Examples
    --------
    >>> [str(moment) for moment in month_range("2025-12")]
    ['2025-12-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00']
    """
    start = dt.datetime.strptime(month, "%Y-%m").replace(tzinfo=dt.UTC)
    return start, (start + dt.timedelta(days=31)).replace(day=1)


@dataclasses.dataclass
class Export:
    """All rows of a table, or those that belong to the transactions of one month.

    Parameters
    ----------
    table
        Name of the table.
    schema
        Schema of the tables.
    month
        Month of the transactions; None for all rows of the table.
    """

    table: str
    schema: str
    month: str | None = None
    #: Sort keys of the last row of each full block, while rows are read.
    _bounds: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    _n_rows: int = 0

    @property
    def spec(self) -> TableSpec:
        """Specification of the table."""
        return dataclasses.replace(spec_of(TABLES[self.table]), schema=self.schema)

    @contextlib.contextmanager
    def read(self, session: Session) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
        """Read the rows with ``ROW_VERSION`` as their last column, in the snapshot of a session."""
        columns = [f'r."{name}"' for name in self.spec.columns]
        query = self._select([*columns, f"r.xmin::text AS {ROW_VERSION}"], "TRUE")
        with read_batches(query, self._values(), session=session, use_decimal=True) as batches:
            yield batches.schema, self._note_bounds(batches.batches)

    def _note_bounds(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            position = BLOCK_ROWS - 1 - self._n_rows % BLOCK_ROWS
            for row in range(position, batch.num_rows, BLOCK_ROWS):
                self._bounds.append({name: batch[name][row].as_py() for name, _ in self._order()})
            self._n_rows += batch.num_rows
            yield batch

    def count(self, session: Session) -> tuple[int, str | None]:
        """Return the number of rows and the sum of their amounts, counted by PostgreSQL."""
        amount = "sum(r.amount)::text" if "amount" in self.spec.columns else "NULL"
        query = self._select(["count(*)", amount], "TRUE", ordered=False)
        rows, total = session.execute(text(query), self._values()).one()
        return int(rows), total

    def checksums(self, session: Session) -> dict[str, ColumnSummary]:
        """Return the checksums of the rows, computed by PostgreSQL block by block.

        Call it after all rows were read. The blocks cover the whole range, whatever was read.
        """
        columns = list(self.spec.columns.values())
        expressions = ", ".join(block_expressions(columns))
        names = [f'r."{column.name}"' for column in columns]

        def blocks() -> Iterator[list[Any]]:
            for low, high in zip([None, *self._bounds], [*self._bounds, None], strict=True):
                condition, values = self._between(low, high)
                rows = self._select(names, condition)
                query = f"SELECT count(*), {expressions} FROM (\n{rows}\n) AS block"  # noqa: S608
                n_rows, *block = session.execute(text(query), values).one()
                if n_rows:
                    yield block

        return combine_digests([column.name for column in columns], blocks())

    def _between(
        self, low: dict[str, Any] | None, high: dict[str, Any] | None
    ) -> tuple[str, dict[str, Any]]:
        """Return the condition that a row comes after ``low`` and not after ``high``."""
        terms = ["TRUE"]
        values = self._values()
        order = self._order()
        columns = ", ".join(term for _, term in order)
        for name, bound, sign in (("low", low, ">"), ("high", high, "<=")):
            if bound is None:
                continue
            keys = {f"{name}_{column}": value for column, value in bound.items()}
            terms.append(f"({columns}) {sign} ({', '.join(f':{key}' for key in keys)})")
            # Follows from it, and an index has this column alone.
            terms.append(f"{order[0][1]} {sign.rstrip('=')}= :{name}_{order[0][0]}")
            values |= keys
        return " AND ".join(terms), values

    def _order(self) -> list[tuple[str, str]]:
        """Columns and terms of ORDER BY; the last one is the key."""
        key = self.spec.primary_key
        if self.spec.columns[key].kind != "text":
            return [(key, f"r.{key}")]
        by_key = (key, f'r.{key} COLLATE "C"')
        if self.table == "transactions":
            return [("timestamp", 'r."timestamp"'), by_key]
        return [by_key]

    def _values(self) -> dict[str, Any]:
        if self.month is None:
            return {}
        start, end = month_range(self.month)
        return {"start": start, "end": end}

    def _select(self, columns: list[str], condition: str, *, ordered: bool = True) -> str:
        spec = self.spec
        within = '{0}."timestamp" >= :start AND {0}."timestamp" < :end'
        source = f"{spec.qualified()} AS r"
        where = [condition]
        transactions = spec.qualified("transactions")
        if self.month is None:
            pass
        elif self.table == "transactions":
            where.append(within.format("r"))
        elif self.table in CHILDREN:
            source += f" JOIN {transactions} AS t ON t.transaction_id = r.transaction_id"
            where.append(within.format("t"))
        else:
            where.append(
                f"r.{spec.primary_key} IN (SELECT t.{spec.primary_key} FROM {transactions} AS t "  # noqa: S608
                f"WHERE {within.format('t')})"
            )
        order = f"ORDER BY {', '.join(term for _, term in self._order())}" if ordered else ""
        return f"SELECT {', '.join(columns)} FROM {source} WHERE {' AND '.join(where)} {order}"  # noqa: S608 - names of ours
