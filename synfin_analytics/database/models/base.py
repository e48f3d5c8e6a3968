"""The declarative base, and the vocabulary in which the tables are written."""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    Double,
    FetchedValue,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    func,
    inspect,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, mapped_column

from synfin_analytics._core.validation.rules import OneOf, Range, Rule, rule_of

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

Key = Annotated[str, mapped_column(String(50))]
Code = Annotated[str, mapped_column(String(50))]
Name = Annotated[str, mapped_column(String(100))]
Line = Annotated[str, mapped_column(String(255))]
Prose = Annotated[str, mapped_column(Text)]
Serial = Annotated[int, mapped_column(BigInteger, primary_key=True, autoincrement=True)]
Money = Annotated[Decimal, mapped_column(Numeric(12, 2))]
MoneySum = Annotated[Decimal, mapped_column(Numeric(15, 2))]
MoneyMean = Annotated[Decimal, mapped_column(Numeric(15, 4))]
Number = Annotated[float, mapped_column(Double)]
Score = Annotated[float, mapped_column(Double, info={"rule": Range(0, 1)})]
Latitude = Annotated[float, mapped_column(Double, info={"rule": Range(-90, 90)})]
Longitude = Annotated[float, mapped_column(Double, info={"rule": Range(-180, 180)})]
Distance = Annotated[float, mapped_column(Double, info={"rule": Range(0)})]
Small = Annotated[int, mapped_column(SmallInteger)]
Count = Annotated[int, mapped_column(Integer, info={"rule": Range(0)})]
Moment = Annotated[dt.datetime, mapped_column(DateTime(timezone=True))]
Day = Annotated[dt.date, mapped_column(Date)]
#: None is NULL, as on every other way in, rather than the `null` of JSON.
Json = Annotated[dict[str, Any], mapped_column(JSONB(none_as_null=True))]
CreatedAt = Annotated[
    dt.datetime, mapped_column(DateTime(timezone=True), server_default=func.now())
]
UpdatedAt = Annotated[
    dt.datetime,
    mapped_column(
        DateTime(timezone=True),
        server_default=func.now(),
        server_onupdate=FetchedValue(for_update=True),
    ),
]


def derived(rule: Rule | None = None) -> dict[str, Any]:
    """Column options of a value that follows from others where it is not given.

    A trigger fills it for the ORM and plain SQL, the loader for frames; the ORM reads it back.
    """
    info: dict[str, Any] = {"derived": True} | ({} if rule is None else {"rule": rule})
    return {
        "info": info,
        "server_default": FetchedValue(),
        "server_onupdate": FetchedValue(for_update=True),
    }


def closed(*values: str) -> dict[str, Any]:
    """Column ``info`` of a text with a closed set of values."""
    return {"rule": OneOf(values)}


def personal(rule: Rule | None = None) -> dict[str, Any]:
    """Column ``info`` of a card holder's personal data: no value of it appears in a message."""
    return {"pii": True} | ({} if rule is None else {"rule": rule})


class Base(DeclarativeBase):
    """Declarative base of the seven tables.

    Every column rule becomes a named CHECK: ``ck_<table>_<column>``.
    """

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 - declared so by SQLAlchemy

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        table = getattr(cls, "__table__", None)
        if not isinstance(table, Table):  # an abstract class, whose heirs have the tables
            return
        for column in table.columns:
            rule = rule_of(column)
            if rule is not None:
                # A value that is NULL passes a CHECK, as it should: "unknown" is allowed.
                table.append_constraint(CheckConstraint(rule.sql(column), name=column.name))

    def to_dict(self) -> dict[str, Any]:
        """Return column names and values in the order of the table."""
        return {column.key: getattr(self, column.key) for column in inspect(self).mapper.columns}

    def __repr__(self) -> str:
        # Keys only: a repr ends up in logs and notebooks, personal data must not.
        mapper = inspect(self).mapper
        keys = ", ".join(f"{c.name}={getattr(self, c.name)!r}" for c in mapper.primary_key)
        return f"{type(self).__name__}({keys})"
