"""The declarative base and the column types of the tables."""

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
ShortText = Annotated[str, mapped_column(String(255))]
Serial = Annotated[int, mapped_column(BigInteger, primary_key=True, autoincrement=True)]
Money = Annotated[Decimal, mapped_column(Numeric(12, 2))]
MoneySum = Annotated[Decimal, mapped_column(Numeric(15, 2))]
MoneyMean = Annotated[Decimal, mapped_column(Numeric(15, 4))]
Number = Annotated[float, mapped_column(Double)]
Score = Annotated[float, mapped_column(Double, info={"rule": Range(0, 1)})]
Latitude = Annotated[float, mapped_column(Double, info={"rule": Range(-90, 90)})]
Longitude = Annotated[float, mapped_column(Double, info={"rule": Range(-180, 180)})]
Distance = Annotated[float, mapped_column(Double, info={"rule": Range(0)})]
SmallInt = Annotated[int, mapped_column(SmallInteger)]
Count = Annotated[int, mapped_column(Integer, info={"rule": Range(0)})]
Timestamp = Annotated[dt.datetime, mapped_column(DateTime(timezone=True))]
CalendarDate = Annotated[dt.date, mapped_column(Date)]
#: None is stored as NULL, as everywhere else, not as JSON's `null`.
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


RISK_CATEGORIES = ("low", "medium", "high", "critical")


def derived(rule: Rule | None = None) -> dict[str, Any]:
    """Column options of a value that is derived from others unless it is given.

    A trigger derives it for the ORM and plain SQL, the loader for DataFrames; the ORM reads it
    back.

    Examples
    --------
    >>> derived(Range(0, 23))["info"]
    {'derived': True, 'rule': Range(low=0, high=23, above=None)}
    """
    info: dict[str, Any] = {"derived": True} | ({} if rule is None else {"rule": rule})
    return {
        "info": info,
        "server_default": FetchedValue(),
        "server_onupdate": FetchedValue(for_update=True),
    }


def one_of(*values: str) -> dict[str, Any]:
    """Column ``info`` of a string with a closed set of values.

    Examples
    --------
    >>> str(one_of("low", "high")["rule"])
    'one of low, high'
    """
    return {"rule": OneOf(values)}


def personal(rule: Rule | None = None) -> dict[str, Any]:
    """Column ``info`` of personal data, whose values appear in no message.

    Examples
    --------
    >>> personal()
    {'pii': True}
    """
    return {"pii": True} | ({} if rule is None else {"rule": rule})


class Base(DeclarativeBase):
    """Declarative base of the seven tables.

    Every column rule becomes a named CHECK: ``ck_<table>_<column>``.

    Examples
    --------
    >>> sorted(Base.metadata.tables)[:3]
    ['anomaly_patterns', 'customers', 'fraud_patterns']
    """

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012 - declared so by SQLAlchemy

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        table = getattr(cls, "__table__", None)
        if not isinstance(table, Table):  # an abstract class, whose subclasses have the tables
            return
        for column in table.columns:
            rule = rule_of(column)
            if rule is not None:
                # NULL passes a CHECK, as it should: it means unknown.
                table.append_constraint(CheckConstraint(rule.sql(column), name=column.name))

    def to_dict(self) -> dict[str, Any]:
        """Return the values by column name, in the order of the table.

        Examples
        --------
        >>> from synfin_analytics.database.models import Merchant
        >>> Merchant(merchant_id="M1").to_dict()["merchant_id"]
        'M1'
        """
        return {column.key: getattr(self, column.key) for column in inspect(self).mapper.columns}

    def __repr__(self) -> str:
        # Keys only: a repr ends up in logs and notebooks, where personal data must not appear.
        mapper = inspect(self).mapper
        keys = ", ".join(f"{c.name}={getattr(self, c.name)!r}" for c in mapper.primary_key)
        return f"{type(self).__name__}({keys})"
