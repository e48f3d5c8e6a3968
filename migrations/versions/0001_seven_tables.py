"""The seven tables, with their rules, indexes and triggers."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

MAX = "'1.7976931348623157e308'::double precision"
MIN = "'-1.7976931348623157e308'::double precision"
LEVELS = ("low", "medium", "high", "critical")

# Everything below is a permanent part of this revision: nothing comes from the current models.
DERIVE_TRANSACTION = """
CREATE FUNCTION synfin_derive_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  utc timestamp := NEW."timestamp" AT TIME ZONE 'UTC';
BEGIN
  IF TG_OP = 'UPDATE' THEN
    -- What the UPDATE left as it was belongs to the old timestamp.
    IF NEW.hour_of_day = OLD.hour_of_day THEN NEW.hour_of_day := NULL; END IF;
    IF NEW.day_of_week = OLD.day_of_week THEN NEW.day_of_week := NULL; END IF;
    IF NEW.day_of_month = OLD.day_of_month THEN NEW.day_of_month := NULL; END IF;
    IF NEW.month = OLD.month THEN NEW.month := NULL; END IF;
    IF NEW.is_weekend = OLD.is_weekend THEN NEW.is_weekend := NULL; END IF;
    IF NEW.time_of_day_category = OLD.time_of_day_category THEN
      NEW.time_of_day_category := NULL;
    END IF;
  END IF;
  NEW.hour_of_day := coalesce(NEW.hour_of_day, extract(hour FROM utc));
  NEW.day_of_week := coalesce(NEW.day_of_week, extract(isodow FROM utc) - 1);
  NEW.day_of_month := coalesce(NEW.day_of_month, extract(day FROM utc));
  NEW.month := coalesce(NEW.month, extract(month FROM utc));
  NEW.is_weekend := coalesce(NEW.is_weekend, extract(isodow FROM utc) >= 6);
  NEW.time_of_day_category := coalesce(NEW.time_of_day_category,
    (ARRAY['night', 'morning', 'afternoon', 'evening'])[extract(hour FROM utc)::int / 6 + 1]);
  RETURN NEW;
END
$$
"""

DERIVE_PREDICTION = """
CREATE FUNCTION synfin_derive_prediction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF NEW.is_correct = OLD.is_correct THEN NEW.is_correct := NULL; END IF;
  END IF;
  NEW.is_correct := coalesce(NEW.is_correct, NEW.prediction = NEW.ground_truth);
  RETURN NEW;
END
$$
"""

TOUCH = """
CREATE FUNCTION synfin_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := CURRENT_TIMESTAMP;
  RETURN NEW;
END
$$
"""

# A complete row does not call the function: a bulk load only evaluates the WHEN.
TRIGGERS = """
CREATE TRIGGER tr_transactions_derive_insert BEFORE INSERT ON transactions FOR EACH ROW
  WHEN (NEW.hour_of_day IS NULL OR NEW.day_of_week IS NULL OR NEW.day_of_month IS NULL
    OR NEW.month IS NULL OR NEW.is_weekend IS NULL OR NEW.time_of_day_category IS NULL)
  EXECUTE FUNCTION synfin_derive_transaction();
CREATE TRIGGER tr_transactions_derive_update BEFORE UPDATE ON transactions FOR EACH ROW
  WHEN (NEW."timestamp" IS DISTINCT FROM OLD."timestamp")
  EXECUTE FUNCTION synfin_derive_transaction();
CREATE TRIGGER tr_model_predictions_derive_insert BEFORE INSERT ON model_predictions FOR EACH ROW
  WHEN (NEW.is_correct IS NULL AND NEW.ground_truth IS NOT NULL)
  EXECUTE FUNCTION synfin_derive_prediction();
CREATE TRIGGER tr_model_predictions_derive_update BEFORE UPDATE ON model_predictions FOR EACH ROW
  WHEN (NEW.prediction IS DISTINCT FROM OLD.prediction
    OR NEW.ground_truth IS DISTINCT FROM OLD.ground_truth)
  EXECUTE FUNCTION synfin_derive_prediction();
"""

TABLES = (
    "customers",
    "merchants",
    "transactions",
    "ml_features",
    "model_predictions",
    "fraud_patterns",
    "anomaly_patterns",
)
TOUCHED = ("customers", "merchants", "transactions", "fraud_patterns", "anomaly_patterns")


def upgrade() -> None:
    """Create the tables, then the triggers of their derived columns."""
    _customers()
    _merchants()
    _transactions()
    _ml_features()
    _model_predictions()
    for name in ("fraud_patterns", "anomaly_patterns"):
        _patterns(name)
    for statement in (DERIVE_TRANSACTION, DERIVE_PREDICTION, TOUCH, TRIGGERS):
        op.execute(statement)
    for name in TOUCHED:
        op.execute(
            f"CREATE TRIGGER tr_{name}_touch BEFORE UPDATE ON {name} "
            "FOR EACH ROW EXECUTE FUNCTION synfin_touch()"
        )


def downgrade() -> None:
    """Drop the tables with all their rows, and the functions."""
    for name in reversed(TABLES):
        op.drop_table(name)
    for function in ("synfin_touch", "synfin_derive_prediction", "synfin_derive_transaction"):
        op.execute(f"DROP FUNCTION {function}()")


def _customers() -> None:
    _table(
        "customers",
        _varchar("customer_id", 50, primary_key=True),
        _varchar("first_name", 100),
        _varchar("last_name", 100),
        _varchar("email", 254),
        _varchar("phone", 32),
        sa.Column(
            "date_of_birth",
            sa.Date,
            info={"check": "date_of_birth >= '0001-01-01'::date"
                  " AND date_of_birth <= '9999-12-31'::date"},
        ),
        _smallint("age", 0, 150),
        _one_of("gender", "female", "male", "other", "unknown"),
        _varchar("occupation", 100),
        _one_of("income_level", "low", "medium", "high"),
        _varchar("address", 255),
        *_place(),
        _varchar("zip_code", 20),
        *_coordinates(),
        _timestamp("account_created"),
        _one_of("account_status", "active", "inactive", "dormant", "suspended", "closed"),
        _smallint("credit_score", 0, 1000),
        _money("avg_transaction_amount", 15, 4),
        _count("transaction_count"),
        _money("total_spent", 15, 2),
        _count("fraud_history_count"),
        _score("risk_score"),
        _one_of("risk_category", *LEVELS),
        *_audit_columns(),
        unique=("email",),
        indexes=["risk_score"],
    )  # fmt: skip


def _merchants() -> None:
    _table(
        "merchants",
        _varchar("merchant_id", 50, primary_key=True),
        _varchar("name", 255),
        _varchar("category", 100),
        _varchar("mcc_code", 4, info={"check": "mcc_code ~ '^[0-9]{4}$'"}),
        *_place(),
        _score("risk_score"),
        _one_of("risk_category", *LEVELS),
        _count("fraud_report_count"),
        _count("total_transactions"),
        _money("total_revenue", 15, 2),
        _money("avg_transaction_amount", 15, 4),
        *_audit_columns(),
        indexes=["category", "risk_score"],
    )


def _transactions() -> None:
    kinds = ("purchase", "withdrawal", "transfer", "payment", "deposit", "refund", "fee")
    methods = ("credit_card", "debit_card", "prepaid_card", "digital_wallet", "bank_transfer")
    devices = ("mobile", "tablet", "desktop", "wearable", "terminal", "atm", "other")
    states = ("pending", "approved", "completed", "declined", "failed", "reversed", "refunded")
    entries = ("chip", "contactless", "magstripe", "manual", "ecommerce", "stored")
    _table(
        "transactions",
        _varchar("transaction_id", 50, primary_key=True),
        _varchar("customer_id", 50, nullable=False),
        _varchar("merchant_id", 50, nullable=False),
        _varchar("card_id", 50),
        _varchar("terminal_id", 50),
        _money("amount", 12, 2, least="> 0", nullable=False),
        _varchar("currency", 3, info={"check": "currency ~ '^[A-Z]{3}$'"}),
        _money("exchange_rate", 14, 6, least="> 0"),
        *_coordinates(),
        *_place(),
        _varchar("zip_code", 20),
        _timestamp("timestamp", nullable=False),
        _smallint("hour_of_day", 0, 23),
        _smallint("day_of_week", 0, 6),
        _smallint("day_of_month", 1, 31),
        _smallint("month", 1, 12),
        *_flags("is_weekend", "is_holiday"),
        _one_of("transaction_type", *kinds),
        _varchar("category", 100),
        _one_of("payment_method", *methods, "direct_debit", "cash", "cheque", "other"),
        _one_of("card_type", "credit", "debit", "prepaid", "charge", "virtual"),
        _one_of("channel", "online", "mobile", "pos", "atm", "phone", "mail", "branch"),
        _one_of("entry_mode", *entries),
        *_flags("is_online", "card_present", "is_international"),
        _one_of("status", *states),
        _varchar("device_id", 100),
        _one_of("device_type", *devices),
        _varchar("ip_address", 45),
        _varchar("merchant_category", 100),
        _varchar("merchant_city", 100),
        *_flags("is_fraud"),
        _varchar("fraud_type", 50),
        _score("fraud_score"),
        _varchar("fraud_reason", 255),
        _timestamp("label_available_at"),
        *_flags("is_anomaly"),
        _varchar("anomaly_type", 50),
        _score("anomaly_score"),
        _count("transactions_last_hour"),
        _count("transactions_last_day"),
        _money("amount_last_hour", 15, 2),
        _money("amount_last_day", 15, 2),
        _size("distance_from_home"),
        _size("distance_from_last"),
        _size("time_since_last_transaction"),
        _one_of("time_of_day_category", "night", "morning", "afternoon", "evening"),
        _score("merchant_risk_score"),
        _score("customer_risk_score"),
        *_audit_columns(),
        parents={"customer_id": "customers", "merchant_id": "merchants"},
        indexes=[
            "timestamp",
            "is_fraud",
            "fraud_type",
            "fraud_reason",
            "customer_id timestamp",
            "merchant_id timestamp",
            "timestamp is_fraud",
        ],
    )


def _ml_features() -> None:
    windows = ("1h", "6h", "24h", "7d", "30d")
    _table(
        "ml_features",
        *_of_transaction(),
        *_numbers("amount_normalized", "amount_log", "amount_zscore"),
        *_numbers("amount_deviation_from_mean", "amount_percentile", "amount_to_max_ratio"),
        *_numbers("amount_to_merchant_avg_ratio"),
        *_flags("amount_is_round"),
        *_numbers("hour_sin", "hour_cos", "day_sin", "day_cos", "month_sin", "month_cos"),
        *_flags("is_weekend", "is_night", "is_holiday", "is_business_hours"),
        *(_count(f"tx_velocity_{window}") for window in windows),
        *_numbers(*(f"amount_velocity_{window}" for window in windows)),
        *_numbers("avg_amount_24h", "avg_amount_7d", "avg_amount_30d"),
        _count("distinct_merchants_24h"),
        _count("distinct_merchants_7d"),
        _count("distinct_countries_24h"),
        *_flags("unusual_time", "unusual_location", "unusual_amount", "unusual_merchant"),
        *_flags("is_new_merchant", "is_new_country", "is_new_device", "is_burst"),
        *_numbers("customer_lifetime_value", "customer_avg_amount", "customer_std_amount"),
        *_numbers("customer_max_amount"),
        _count("customer_transaction_count"),
        *_numbers("customer_transaction_frequency"),
        _count("customer_active_days"),
        *_numbers("customer_merchant_diversity"),
        _count("customer_prior_fraud_count"),
        *_numbers("merchant_avg_amount"),
        _count("merchant_transaction_count"),
        _score("merchant_fraud_rate"),
        *(_count(f"merchant_tx_count_{window}") for window in ("1d", "7d", "30d")),
        *(_score(f"merchant_fraud_rate_{window}") for window in ("1d", "7d", "30d")),
        *_numbers("distance_normalized", "distance_from_last_normalized"),
        _size("travel_speed_kmh"),
        *_flags("impossible_travel"),
        _size("distance_from_usual"),
        *_numbers("time_since_last_normalized", "time_since_signup"),
        *_numbers("time_since_last_same_merchant", "time_since_first_transaction"),
        sa.Column("additional_features", JSONB),
        _now("created_at"),
        unique=("transaction_id",),
        parents={"transaction_id": "transactions"},
    )


def _model_predictions() -> None:
    correct = "is_correct = (prediction = ground_truth) OR ground_truth IS NULL"
    _table(
        "model_predictions",
        *_of_transaction(),
        _varchar("model_name", 100, nullable=False),
        _varchar("model_version", 50, nullable=False),
        sa.Column("prediction", sa.Boolean, nullable=False),
        _score("confidence_score"),
        _score("fraud_probability"),
        sa.Column("feature_importance", JSONB),
        _size("prediction_time_ms"),
        *_flags("ground_truth"),
        sa.Column("is_correct", sa.Boolean, info={"check": correct}),
        _now("predicted_at"),
        unique=("transaction_id", "model_name", "model_version"),
        parents={"transaction_id": "transactions"},
        indexes=["model_name model_version predicted_at"],
    )


def _patterns(table: str) -> None:
    _table(
        table,
        _serial(),
        _varchar("pattern_type", 50, nullable=False),
        _varchar("name", 255),
        sa.Column("description", sa.Text),
        sa.Column("characteristics", JSONB),
        _one_of("severity", *LEVELS),
        _count("detection_count"),
        _timestamp("first_detected"),
        _timestamp("last_detected"),
        _score("confidence_score"),
        *_audit_columns(),
        indexes=["pattern_type"],
    )


def _table(
    name: str,
    *columns: "sa.Column[object]",
    unique: tuple[str, ...] = (),
    parents: dict[str, str] | None = None,
    indexes: Sequence[str] = (),
) -> None:
    """Create a table; its constraints are named after its columns."""
    key = [column.name for column in columns if column.primary_key]
    constraints: list[sa.Constraint] = [sa.PrimaryKeyConstraint(*key, name=op.f(f"pk_{name}"))]
    for column in columns:
        if "check" in column.info:
            rule = column.info["check"]
            constraints.append(sa.CheckConstraint(rule, name=op.f(f"ck_{name}_{column.name}")))
    if unique:
        constraints.append(sa.UniqueConstraint(*unique, name=op.f(f"uq_{name}_{'_'.join(unique)}")))
    for column_name, parent in (parents or {}).items():
        constraints.append(
            sa.ForeignKeyConstraint(
                [column_name],
                [f"{parent}.{column_name}"],
                name=op.f(f"fk_{name}_{column_name}_{parent}"),
            )
        )
    op.create_table(name, *columns, *constraints)
    for index in indexes:
        op.create_index(op.f(f"ix_{name}_{index.replace(' ', '_')}"), name, index.split())


def _column(name: str, type_: object, rule: str, nullable: bool = True) -> "sa.Column[object]":
    quoted = '"timestamp"' if name == "timestamp" else name
    check = rule.replace("$", quoted)
    return sa.Column(name, type_, nullable=nullable, info={"check": check})  # type: ignore[arg-type]


def _varchar(name: str, length: int, **options: object) -> "sa.Column[object]":
    return sa.Column(name, sa.String(length), **options)  # type: ignore[arg-type]


def _one_of(name: str, *values: str) -> "sa.Column[object]":
    listed = ", ".join(f"'{value}'" for value in values)
    return _column(name, sa.String(50), f"$ IN ({listed})")


def _smallint(name: str, low: int, high: int) -> "sa.Column[object]":
    return _column(name, sa.SmallInteger(), f"$ >= {low} AND $ <= {high}")


def _count(name: str) -> "sa.Column[object]":
    return _column(name, sa.Integer(), "$ >= 0")


def _money(
    name: str, precision: int, scale: int, least: str = ">= 0", nullable: bool = True
) -> "sa.Column[object]":
    rule = f"$ {least} AND $ < 'NaN'::numeric"
    return _column(name, sa.Numeric(precision, scale), rule, nullable)


def _double(name: str, low: str, high: str) -> "sa.Column[object]":
    return _column(name, sa.Double(), f"$ >= {low} AND $ <= {high}")


def _score(name: str) -> "sa.Column[object]":
    return _double(name, "0", "1")


def _size(name: str) -> "sa.Column[object]":
    return _double(name, "0", MAX)


def _numbers(*names: str) -> "list[sa.Column[object]]":
    return [_double(name, MIN, MAX) for name in names]


def _flags(*names: str) -> "list[sa.Column[object]]":
    return [sa.Column(name, sa.Boolean) for name in names]


def _coordinates() -> "list[sa.Column[object]]":
    return [_double("latitude", "-90", "90"), _double("longitude", "-180", "180")]


def _place() -> "list[sa.Column[object]]":
    return [_varchar(name, 100) for name in ("city", "state", "country")]


def _serial() -> "sa.Column[object]":
    return sa.Column("id", sa.BigInteger, primary_key=True)


def _of_transaction() -> "list[sa.Column[object]]":
    return [_serial(), _varchar("transaction_id", 50, nullable=False)]


def _timestamp(name: str, nullable: bool = True) -> "sa.Column[object]":
    rule = (
        "$ >= '0001-01-01 00:00:00+00'::timestamptz AND $ < '10000-01-01 00:00:00+00'::timestamptz"
    )
    return _column(name, sa.DateTime(timezone=True), rule, nullable)


def _now(name: str) -> "sa.Column[object]":
    column = _timestamp(name, nullable=False)
    column.server_default = sa.DefaultClause(sa.func.now())
    return column


def _audit_columns() -> "list[sa.Column[object]]":
    return [_now("created_at"), _now("updated_at")]
