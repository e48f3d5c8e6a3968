"""What the tables accept, derived from their models."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING, Literal

import polars as pl
from psycopg2 import sql
from sqlalchemy import (
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Double,
    Integer,
    Numeric,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from synfin_analytics._core.validation.rules import rule_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.orm import DeclarativeBase

    from synfin_analytics._core.validation.rules import Rule

Kind = Literal["text", "integer", "number", "decimal", "boolean", "timestamp", "date", "json"]


@dataclasses.dataclass(frozen=True)
class ColumnSpec:
    """What one column accepts."""

    name: str
    kind: Kind
    dtype: pl.DataType
    rule: Rule | None = None
    length: int | None = None
    precision: int = 0
    scale: int = 0
    #: NULL is rejected, and the database has no default.
    required: bool = False
    #: NULL is rejected, and the database has a default.
    defaulted: bool = False
    derived: bool = False
    personal: bool = False


@dataclasses.dataclass(frozen=True)
class ForeignKey:
    """A foreign key: ``column`` refers to ``table`` by its key ``target``."""

    column: str
    table: str
    target: str


@dataclasses.dataclass(frozen=True)
class TableSpec:
    """Columns, keys and foreign keys of one table."""

    name: str
    columns: dict[str, ColumnSpec]
    primary_key: str
    #: The database numbers the primary key where it is missing.
    serial: bool
    #: Columns of each unique key, the primary key first.
    unique: tuple[tuple[str, ...], ...]
    #: The column that most indexes begin with; in a tie, the primary key.
    leading: str
    foreign_keys: tuple[ForeignKey, ...]
    #: Schema of the tables, for statements: another one may have a table of the same name.
    schema: str = ""

    def identifier(self, table: str = "") -> sql.Identifier:
        """Return the quoted name, with its schema, of this table or of one that it refers to."""
        return sql.Identifier(*filter(None, (self.schema, table or self.name)))

    def qualified(self, table: str = "") -> str:
        """Return the same name as text, for ``::regclass``."""
        return ".".join(
            '"' + part.replace('"', '""') + '"' for part in self.identifier(table).strings
        )

    def select(self, names: Iterable[str]) -> list[ColumnSpec]:
        """Return the columns of the table among ``names``, in that order."""
        return [self.columns[name] for name in names if name in self.columns]


@cache
def spec_of(model: type[DeclarativeBase]) -> TableSpec:
    """Return the specification of a model's table.

    Examples
    --------
    >>> from synfin_analytics.database.models import Transaction
    >>> spec = spec_of(Transaction)
    >>> [name for name, column in spec.columns.items() if column.required]
    ['transaction_id', 'customer_id', 'merchant_id', 'amount', 'timestamp']
    >>> spec.leading
    'timestamp'
    """
    table = model.__table__
    if not isinstance(table, Table):
        raise TypeError(f"{model.__name__} does not map a table")
    (key,) = table.primary_key.columns
    serial = isinstance(key.type, BigInteger)
    columns = {}
    for column in table.columns:
        kind, dtype = _kind(column.type)
        has_default = column.server_default is not None or (serial and column is key)
        columns[column.name] = ColumnSpec(
            name=column.name,
            kind=kind,
            dtype=dtype,
            rule=rule_of(column),
            length=getattr(column.type, "length", None),
            precision=getattr(column.type, "precision", None) or 0,
            scale=getattr(column.type, "scale", None) or 0,
            required=not column.nullable and not has_default,
            defaulted=not column.nullable and has_default,
            derived=bool(column.info.get("derived")),
            personal=bool(column.info.get("pii")),
        )
    unique: list[tuple[str, ...]] = [(key.name,)]
    unique += [
        tuple(column.name for column in constraint.columns)
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    first_columns = [key.name, *(index.columns[0].name for index in table.indexes)]
    return TableSpec(
        name=table.name,
        columns=columns,
        primary_key=key.name,
        serial=serial,
        unique=tuple(unique),
        leading=max(first_columns, key=first_columns.count),
        foreign_keys=tuple(
            ForeignKey(fk.parent.name, fk.column.table.name, fk.column.name)
            for fk in sorted(table.foreign_keys, key=lambda fk: fk.parent.name)
        ),
    )


#: Wider and narrower integers before Integer: SQLAlchemy derives them from it.
_KINDS: tuple[tuple[type, Kind, pl.DataType], ...] = (
    (String, "text", pl.String()),
    (BigInteger, "integer", pl.Int64()),
    (SmallInteger, "integer", pl.Int16()),
    (Integer, "integer", pl.Int32()),
    (Boolean, "boolean", pl.Boolean()),
    (Double, "number", pl.Float64()),
    (DateTime, "timestamp", pl.Datetime("us", "UTC")),
    (Date, "date", pl.Date()),
    (JSONB, "json", pl.String()),
)


def _kind(sql_type: object) -> tuple[Kind, pl.DataType]:
    for known_type, kind, dtype in _KINDS:
        if isinstance(sql_type, known_type):
            return kind, dtype
    if isinstance(sql_type, Numeric):
        return "decimal", pl.Decimal(sql_type.precision, sql_type.scale or 0)
    raise TypeError(f"columns cannot have the type {sql_type!r}")
