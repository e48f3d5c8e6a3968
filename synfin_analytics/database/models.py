"""The seven tables as typed models of SQLAlchemy.

The column types and the declarative base come first, then the tables, parents before the tables
that refer to them.
"""

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Double,
    FetchedValue,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    inspect,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from synfin_analytics._core.validation.rules import Matches, OneOf, Range, Rule, rule_of
from synfin_analytics.exceptions import ArgumentError, NotFoundError

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
MoneySum = Annotated[Decimal, mapped_column(Numeric(15, 2), info={"rule": Range(0)})]
MoneyMean = Annotated[Decimal, mapped_column(Numeric(15, 4), info={"rule": Range(0)})]
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
SEVERITIES = ("low", "medium", "high", "critical")
#: Six hours each, from midnight UTC.
TIME_OF_DAY = ("night", "morning", "afternoon", "evening")


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


# -- The tables ------------------------------------------------------------------------------------


class Customer(Base):
    """A card holder; every column that identifies a person may be NULL.

    Examples
    --------
    >>> Customer(customer_id="C1", email="someone@example.org")
    Customer(customer_id='C1')
    """

    __tablename__ = "customers"

    customer_id: Mapped[Key] = mapped_column(primary_key=True)
    first_name: Mapped[Name | None] = mapped_column(info=personal())
    last_name: Mapped[Name | None] = mapped_column(info=personal())
    #: Unique among the values that are given.
    email: Mapped[str | None] = mapped_column(String(254), unique=True, info=personal())
    phone: Mapped[str | None] = mapped_column(String(32), info=personal())

    date_of_birth: Mapped[CalendarDate | None] = mapped_column(info=personal())
    age: Mapped[SmallInt | None] = mapped_column(info={"rule": Range(0, 150)})
    gender: Mapped[Code | None] = mapped_column(info=one_of("female", "male", "other", "unknown"))
    occupation: Mapped[Name | None]
    income_level: Mapped[Code | None] = mapped_column(info=one_of("low", "medium", "high"))

    address: Mapped[ShortText | None] = mapped_column(info=personal())
    city: Mapped[Name | None]
    state: Mapped[Name | None]
    country: Mapped[Name | None]
    zip_code: Mapped[str | None] = mapped_column(String(20), info=personal())
    latitude: Mapped[Latitude | None] = mapped_column(info=personal(Range(-90, 90)))
    longitude: Mapped[Longitude | None] = mapped_column(info=personal(Range(-180, 180)))

    account_created: Mapped[Timestamp | None]
    account_status: Mapped[Code | None] = mapped_column(
        info=one_of("active", "inactive", "dormant", "suspended", "closed")
    )
    credit_score: Mapped[SmallInt | None] = mapped_column(info={"rule": Range(0, 1000)})

    avg_transaction_amount: Mapped[MoneyMean | None]
    transaction_count: Mapped[Count | None]
    total_spent: Mapped[MoneySum | None]
    fraud_history_count: Mapped[Count | None]

    risk_score: Mapped[Score | None] = mapped_column(index=True)
    risk_category: Mapped[Code | None] = mapped_column(info=one_of(*RISK_CATEGORIES))

    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    transactions: Mapped[list["Transaction"]] = relationship(back_populates="customer")


class Merchant(Base):
    """A merchant, who receives payments.

    Examples
    --------
    >>> Merchant(merchant_id="M1", name="Corner shop", category="grocery")
    Merchant(merchant_id='M1')
    """

    __tablename__ = "merchants"

    merchant_id: Mapped[Key] = mapped_column(primary_key=True)
    name: Mapped[ShortText | None]
    category: Mapped[Name | None] = mapped_column(index=True)
    mcc_code: Mapped[str | None] = mapped_column(
        String(4), info={"rule": Matches("^[0-9]{4}$", "four digits (ISO 18245)")}
    )

    city: Mapped[Name | None]
    state: Mapped[Name | None]
    country: Mapped[Name | None]

    risk_score: Mapped[Score | None] = mapped_column(index=True)
    risk_category: Mapped[Code | None] = mapped_column(info=one_of(*RISK_CATEGORIES))
    fraud_report_count: Mapped[Count | None]

    total_transactions: Mapped[Count | None]
    total_revenue: Mapped[MoneySum | None]
    avg_transaction_amount: Mapped[MoneyMean | None]

    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    transactions: Mapped[list["Transaction"]] = relationship(back_populates="merchant")


class Transaction(Base):
    """One card transaction.

    ``hour_of_day``, ``day_of_week``, ``day_of_month``, ``month``, ``is_weekend`` and
    ``time_of_day_category`` are derived from ``timestamp`` (in UTC) unless they are given: by a
    trigger of the database for the ORM and plain SQL, by the loader for DataFrames. Required
    are transaction_id, customer_id, merchant_id, amount and timestamp.

    Examples
    --------
    >>> tx = Transaction(transaction_id="TX1", customer_id="C1", merchant_id="M1", amount=10)
    >>> tx
    Transaction(transaction_id='TX1')
    """

    __tablename__ = "transactions"

    transaction_id: Mapped[Key] = mapped_column(primary_key=True)
    customer_id: Mapped[Key] = mapped_column(ForeignKey("customers.customer_id"))
    merchant_id: Mapped[Key] = mapped_column(ForeignKey("merchants.merchant_id"))
    #: Token of the card, never its number: one customer may hold several cards.
    card_id: Mapped[Key | None] = mapped_column(info=personal())
    #: The merchant's terminal: stolen cards are often traced back to a compromised one.
    terminal_id: Mapped[Key | None]

    amount: Mapped[Money] = mapped_column(info={"rule": Range(above=0)})
    currency: Mapped[str | None] = mapped_column(
        String(3), info={"rule": Matches("^[A-Z]{3}$", "three capital letters, as EUR (ISO 4217)")}
    )
    exchange_rate: Mapped[Decimal | None] = mapped_column(
        Numeric(14, 6), info={"rule": Range(above=0)}
    )

    latitude: Mapped[Latitude | None] = mapped_column(info=personal(Range(-90, 90)))
    longitude: Mapped[Longitude | None] = mapped_column(info=personal(Range(-180, 180)))
    city: Mapped[Name | None]
    state: Mapped[Name | None]
    country: Mapped[Name | None]
    zip_code: Mapped[str | None] = mapped_column(String(20))

    timestamp: Mapped[Timestamp] = mapped_column(index=True)
    hour_of_day: Mapped[SmallInt | None] = mapped_column(**derived(Range(0, 23)))
    #: 0 is Monday.
    day_of_week: Mapped[SmallInt | None] = mapped_column(**derived(Range(0, 6)))
    day_of_month: Mapped[SmallInt | None] = mapped_column(**derived(Range(1, 31)))
    month: Mapped[SmallInt | None] = mapped_column(**derived(Range(1, 12)))
    is_weekend: Mapped[bool | None] = mapped_column(**derived())
    is_holiday: Mapped[bool | None]

    transaction_type: Mapped[Code | None] = mapped_column(
        info=one_of("purchase", "withdrawal", "transfer", "payment", "deposit", "refund", "fee")
    )
    category: Mapped[Name | None]
    payment_method: Mapped[Code | None] = mapped_column(
        info=one_of(
            "credit_card",
            "debit_card",
            "prepaid_card",
            "digital_wallet",
            "bank_transfer",
            "direct_debit",
            "cash",
            "cheque",
            "other",
        )
    )
    card_type: Mapped[Code | None] = mapped_column(
        info=one_of("credit", "debit", "prepaid", "charge", "virtual")
    )
    channel: Mapped[Code | None] = mapped_column(
        info=one_of("online", "mobile", "pos", "atm", "phone", "mail", "branch")
    )
    #: How the card was read; `card_present` alone does not identify the risky magnetic stripe.
    entry_mode: Mapped[Code | None] = mapped_column(
        info=one_of("chip", "contactless", "magstripe", "manual", "ecommerce", "stored")
    )
    is_online: Mapped[bool | None]
    card_present: Mapped[bool | None]
    is_international: Mapped[bool | None]
    status: Mapped[Code | None] = mapped_column(
        info=one_of(
            "pending", "approved", "completed", "declined", "failed", "reversed", "refunded"
        )
    )

    device_id: Mapped[Name | None] = mapped_column(info=personal())
    device_type: Mapped[Code | None] = mapped_column(
        info=one_of("mobile", "tablet", "desktop", "wearable", "terminal", "atm", "other")
    )
    ip_address: Mapped[str | None] = mapped_column(String(45), info=personal())
    merchant_category: Mapped[Name | None]
    merchant_city: Mapped[Name | None]

    #: NULL means not labelled. Rates count labelled rows only.
    is_fraud: Mapped[bool | None] = mapped_column(index=True)
    fraud_type: Mapped[Code | None] = mapped_column(index=True)
    fraud_score: Mapped[Score | None]
    fraud_reason: Mapped[ShortText | None] = mapped_column(index=True)
    #: When the bank learned the label; NULL means immediately.
    label_available_at: Mapped[Timestamp | None]

    is_anomaly: Mapped[bool | None]
    anomaly_type: Mapped[Code | None]
    anomaly_score: Mapped[Score | None]

    transactions_last_hour: Mapped[Count | None]
    transactions_last_day: Mapped[Count | None]
    amount_last_hour: Mapped[MoneySum | None]
    amount_last_day: Mapped[MoneySum | None]
    #: Kilometres.
    distance_from_home: Mapped[Distance | None]
    distance_from_last: Mapped[Distance | None]
    #: Seconds.
    time_since_last_transaction: Mapped[Distance | None]
    time_of_day_category: Mapped[Code | None] = mapped_column(**derived(OneOf(TIME_OF_DAY)))
    merchant_risk_score: Mapped[Score | None]
    customer_risk_score: Mapped[Score | None]

    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]

    customer: Mapped["Customer"] = relationship(back_populates="transactions")
    merchant: Mapped["Merchant"] = relationship(back_populates="transactions")
    features: Mapped["MLFeatures | None"] = relationship(back_populates="transaction")
    predictions: Mapped[list["ModelPrediction"]] = relationship(back_populates="transaction")

    __table_args__ = (
        Index(None, "customer_id", "timestamp"),
        Index(None, "merchant_id", "timestamp"),
        Index(None, "timestamp", "is_fraud"),
        # A profile of the database offers further ones, which would slow all loads down.
        # With the condition as SQLAlchemy's `is_(True)` writes it, so that queries match.
        Index(
            "ix_transactions_timestamp_anomaly",
            "timestamp",
            postgresql_where=text("is_anomaly IS TRUE"),
        ),
    )


class MLFeatures(Base):
    """The 69 engineered features of one transaction, and a JSON object for further ones.

    Examples
    --------
    >>> len(MLFeatures.feature_names())
    69
    """

    __tablename__ = "ml_features"

    id: Mapped[Serial]
    transaction_id: Mapped[Key] = mapped_column(
        ForeignKey("transactions.transaction_id"), unique=True
    )

    # Amount
    amount_normalized: Mapped[Number | None]
    amount_log: Mapped[Number | None]
    amount_zscore: Mapped[Number | None]
    amount_deviation_from_mean: Mapped[Number | None]
    amount_percentile: Mapped[Number | None]
    amount_to_max_ratio: Mapped[Number | None]
    amount_to_merchant_avg_ratio: Mapped[Number | None]
    amount_is_round: Mapped[bool | None]

    # Temporal
    hour_sin: Mapped[Number | None]
    hour_cos: Mapped[Number | None]
    day_sin: Mapped[Number | None]
    day_cos: Mapped[Number | None]
    month_sin: Mapped[Number | None]
    month_cos: Mapped[Number | None]
    is_weekend: Mapped[bool | None]
    is_night: Mapped[bool | None]
    is_holiday: Mapped[bool | None]
    is_business_hours: Mapped[bool | None]

    # Velocity
    tx_velocity_1h: Mapped[Count | None]
    tx_velocity_6h: Mapped[Count | None]
    tx_velocity_24h: Mapped[Count | None]
    tx_velocity_7d: Mapped[Count | None]
    tx_velocity_30d: Mapped[Count | None]
    amount_velocity_1h: Mapped[Number | None]
    amount_velocity_6h: Mapped[Number | None]
    amount_velocity_24h: Mapped[Number | None]
    amount_velocity_7d: Mapped[Number | None]
    amount_velocity_30d: Mapped[Number | None]
    avg_amount_24h: Mapped[Number | None]
    avg_amount_7d: Mapped[Number | None]
    avg_amount_30d: Mapped[Number | None]
    distinct_merchants_24h: Mapped[Count | None]
    distinct_merchants_7d: Mapped[Count | None]
    distinct_countries_24h: Mapped[Count | None]

    # Pattern
    unusual_time: Mapped[bool | None]
    unusual_location: Mapped[bool | None]
    unusual_amount: Mapped[bool | None]
    unusual_merchant: Mapped[bool | None]
    is_new_merchant: Mapped[bool | None]
    is_new_country: Mapped[bool | None]
    is_new_device: Mapped[bool | None]
    is_burst: Mapped[bool | None]

    # Behaviour
    customer_lifetime_value: Mapped[Number | None]
    customer_avg_amount: Mapped[Number | None]
    customer_std_amount: Mapped[Number | None]
    customer_max_amount: Mapped[Number | None]
    customer_transaction_count: Mapped[Count | None]
    customer_transaction_frequency: Mapped[Number | None]
    customer_active_days: Mapped[Count | None]
    customer_merchant_diversity: Mapped[Number | None]
    customer_prior_fraud_count: Mapped[Count | None]

    # Merchant
    merchant_avg_amount: Mapped[Number | None]
    merchant_transaction_count: Mapped[Count | None]
    merchant_fraud_rate: Mapped[Score | None]
    merchant_tx_count_1d: Mapped[Count | None]
    merchant_tx_count_7d: Mapped[Count | None]
    merchant_tx_count_30d: Mapped[Count | None]
    merchant_fraud_rate_1d: Mapped[Score | None]
    merchant_fraud_rate_7d: Mapped[Score | None]
    merchant_fraud_rate_30d: Mapped[Score | None]

    # Distance
    distance_normalized: Mapped[Number | None]
    distance_from_last_normalized: Mapped[Number | None]
    travel_speed_kmh: Mapped[Distance | None]
    impossible_travel: Mapped[bool | None]
    distance_from_usual: Mapped[Distance | None]

    # Time
    time_since_last_normalized: Mapped[Number | None]
    time_since_signup: Mapped[Number | None]
    time_since_last_same_merchant: Mapped[Number | None]
    time_since_first_transaction: Mapped[Number | None]

    additional_features: Mapped[Json | None]
    created_at: Mapped[CreatedAt]

    transaction: Mapped["Transaction"] = relationship(back_populates="features")

    @classmethod
    def feature_names(cls) -> list[str]:
        """Return the names of the engineered features, in the order of the table.

        Examples
        --------
        >>> MLFeatures.feature_names()[:2]
        ['amount_normalized', 'amount_log']
        """
        excluded = {"id", "transaction_id", "additional_features", "created_at"}
        return [column.name for column in cls.__table__.columns if column.name not in excluded]


class ModelPrediction(Base):
    """The prediction of one version of a model for one transaction.

    ``is_correct`` is derived from ``prediction`` and ``ground_truth`` unless it is given.

    Examples
    --------
    >>> ModelPrediction(id=1, transaction_id="TX1", model_name="rf", model_version="1.0")
    ModelPrediction(id=1)
    """

    __tablename__ = "model_predictions"

    id: Mapped[Serial]
    transaction_id: Mapped[Key] = mapped_column(ForeignKey("transactions.transaction_id"))
    model_name: Mapped[Name]
    model_version: Mapped[Key]
    prediction: Mapped[bool]
    confidence_score: Mapped[Score | None]
    fraud_probability: Mapped[Score | None]
    feature_importance: Mapped[Json | None]
    #: Milliseconds.
    prediction_time_ms: Mapped[Distance | None]
    ground_truth: Mapped[bool | None]
    is_correct: Mapped[bool | None] = mapped_column(**derived())
    predicted_at: Mapped[Timestamp] = mapped_column(server_default=func.now())

    transaction: Mapped["Transaction"] = relationship(back_populates="predictions")

    __table_args__ = (
        UniqueConstraint("transaction_id", "model_name", "model_version"),
        CheckConstraint(
            "is_correct = (prediction = ground_truth) OR ground_truth IS NULL", name="is_correct"
        ),
        # Queries select a model, the unique key begins with the transaction: hence both orders.
        Index(None, "model_name", "model_version", "predicted_at"),
    )


class _Pattern(Base):
    """Columns of both pattern tables."""

    __abstract__ = True

    id: Mapped[Serial]
    pattern_type: Mapped[Code] = mapped_column(index=True)
    name: Mapped[ShortText | None]
    description: Mapped[str | None] = mapped_column(Text)
    characteristics: Mapped[Json | None]
    severity: Mapped[Code | None] = mapped_column(info=one_of(*SEVERITIES))
    detection_count: Mapped[Count | None]
    first_detected: Mapped[Timestamp | None]
    last_detected: Mapped[Timestamp | None]
    confidence_score: Mapped[Score | None]
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class FraudPattern(_Pattern):
    """A detected fraud pattern, such as card testing.

    Examples
    --------
    >>> FraudPattern(id=1, pattern_type="card_testing")
    FraudPattern(id=1)
    """

    __tablename__ = "fraud_patterns"


class AnomalyPattern(_Pattern):
    """A detected anomaly that need not be fraud, such as holiday travel.

    Examples
    --------
    >>> AnomalyPattern(id=1, pattern_type="holiday_travel")
    AnomalyPattern(id=1)
    """

    __tablename__ = "anomaly_patterns"


#: Transactions that changed each table, from which its version is computed. Triggers write it.
DATA_VERSIONS = Table(
    "synfin_data_versions",
    Base.metadata,
    Column("token", BigInteger, primary_key=True, autoincrement=False),
    Column("table_name", String(63), nullable=False),
    Column("changes", BigInteger, nullable=False),
)

#: Model of each table; parents come before the tables that refer to them.
TABLES: dict[str, type[Base]] = {
    model.__tablename__: model
    for model in (
        Customer,
        Merchant,
        Transaction,
        MLFeatures,
        ModelPrediction,
        FraudPattern,
        AnomalyPattern,
    )
}


def model_of(table: str | type[Base]) -> type[Base]:
    """Return the model of a table, given its name or the model itself.

    Raises
    ------
    NotFoundError
        No table has that name; the message suggests the nearest one.
    ArgumentError
        ``table`` is neither a name nor one of the seven models.

    Examples
    --------
    >>> model_of("transactions")
    <class 'synfin_analytics.database.models.Transaction'>
    >>> model_of("transaction")
    Traceback (most recent call last):
    synfin_analytics.exceptions.NotFoundError: There is no table 'transaction'. Did you mean ...
    """
    if isinstance(table, str):
        try:
            return TABLES[table]
        except KeyError:
            raise NotFoundError("table", table, TABLES) from None
    if isinstance(table, type) and table in TABLES.values():
        return table
    raise ArgumentError(
        "`table` must be the name of a table or one of the package's models; "
        f"got {table.__name__ if isinstance(table, type) else type(table).__name__}."
    )


def column_of(model: type[Base], name: str) -> ColumnElement[Any]:
    """Return the column of a table with this name, which may come from the user.

    Raises
    ------
    NotFoundError
        The table has no such column; the message suggests the nearest one.

    Examples
    --------
    >>> column_of(Transaction, "amount").type
    Numeric(precision=12, scale=2)
    """
    columns = model.__table__.c
    if name not in columns:
        raise NotFoundError("column", name, columns.keys(), location=repr(model.__tablename__))
    column: ColumnElement[Any] = columns[name]
    return column
