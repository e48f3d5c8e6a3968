"""Checksums of columns: PostgreSQL's equal those of the Parquet file, for values of all kinds."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, text

from synfin_analytics.database.models import Customer, Merchant, MLFeatures, Transaction
from synfin_analytics.io.archive import _checksums, _export
from synfin_analytics.io.archive._checksums import ColumnDigests
from synfin_analytics.io.archive._export import Export
from synfin_analytics.io.archive._parts import check_part, write_part

if TYPE_CHECKING:
    from synfin_analytics import DatabaseManager
    from synfin_analytics.io.archive._manifest import ColumnSummary

MONTH = "2025-01"
START, END = _export.month_range(MONTH)

texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=50)
times = st.datetimes(
    START.replace(tzinfo=None),
    END.replace(tzinfo=None) - dt.timedelta(microseconds=1),
    timezones=st.just(dt.UTC),
)
amounts = st.decimals("0.01", "9999999999.99", places=2)
transactions = st.fixed_dictionaries(
    {
        "amount": amounts,
        "timestamp": times,
        "exchange_rate": st.none() | st.decimals("0.000001", "99999999.999999", places=6),
        "latitude": st.none() | st.floats(-90, 90),
        "city": st.none() | texts,
        "is_fraud": st.none() | st.booleans(),
        "fraud_score": st.none() | st.floats(0, 1),
        "label_available_at": st.none() | st.datetimes(timezones=st.just(dt.UTC)),
        "transactions_last_hour": st.none() | st.integers(0, 2**31 - 1),
    }
)
features = st.fixed_dictionaries(
    {
        "amount_log": st.none() | st.floats(allow_infinity=False, allow_nan=False),
        "is_night": st.none() | st.booleans(),
        "additional_features": st.none()
        | st.dictionaries(texts, texts | st.integers() | st.none(), max_size=3),
    }
)


def fill(manager: DatabaseManager, rows: list[dict], feature_rows: list[dict]) -> None:
    with manager.session_scope() as session:
        session.execute(text("TRUNCATE customers, merchants CASCADE"))
        session.execute(
            insert(Customer), [{"customer_id": "C1", "date_of_birth": dt.date(1, 1, 1)}]
        )
        session.execute(insert(Merchant), [{"merchant_id": "M1"}])
        keys = [f"T{number}" for number in range(len(rows))]
        session.execute(
            insert(Transaction),
            [
                {"transaction_id": key, "customer_id": "C1", "merchant_id": "M1", **row}
                for key, row in zip(keys, rows, strict=True)
            ],
        )
        children = [
            {"transaction_id": key, **row} for key, row in zip(keys, feature_rows, strict=False)
        ]
        if children:
            session.execute(insert(MLFeatures), children)


def checksums(
    manager: DatabaseManager, table: str, folder: Path
) -> tuple[dict[str, ColumnSummary], dict[str, ColumnSummary]]:
    """Checksums of a table in PostgreSQL, and of its rows read back from a Parquet file."""
    export = Export(table, "public", MONTH)
    with manager.session_scope() as session:
        with export.read(session) as (schema, batches):
            part = write_part(
                folder,
                f"{table}/part-0.parquet",
                table=table,
                month=MONTH,
                schema=schema.remove(len(schema) - 1),
                batches=(batch.drop_columns([_export.ROW_VERSION]) for batch in batches),
            )
        in_database = export.checksums(session)
        assert export.count(session) == (part.rows, part.amount)
    assert check_part(folder, part) == []
    return in_database, part.columns


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(transactions, min_size=1, max_size=8),
    st.lists(features, max_size=8),
    st.integers(1, 5),
)
def test_postgresql_and_the_file_have_the_same_checksums(manager, rows, feature_rows, block_rows):
    fill(manager, rows, feature_rows[: len(rows)])
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        for module in (_checksums, _export):
            patch.setattr(module, "BLOCK_ROWS", block_rows)
        for table in ("customers", "transactions", "ml_features"):
            in_database, in_file = checksums(manager, table, Path(folder))
            if table == "ml_features" and not feature_rows:
                assert not any(summary.count for summary in in_file.values())
            assert in_database == in_file


@pytest.mark.parametrize(
    ("column", "value", "changed"),
    [
        ("amount", Decimal("1.00"), Decimal("1.01")),
        ("city", "", None),
        ("city", "ab", "ba"),
        ("is_fraud", False, None),
        ("fraud_score", 0.0, None),
        ("transactions_last_hour", 0, None),
        ("timestamp", START, START + dt.timedelta(microseconds=1)),
    ],
)
def test_a_changed_value_changes_the_checksum_of_its_column(
    manager, tmp_path, column, value, changed
):
    summaries = []
    for number, cell in enumerate((value, changed)):
        row = {"amount": 1, "timestamp": START, "hour_of_day": 1, column: cell}
        fill(manager, [row | {"created_at": START, "updated_at": START}], [])
        in_database, in_file = checksums(manager, "transactions", tmp_path / str(number))
        assert in_database == in_file
        summaries.append(in_file)
    before, after = summaries
    assert column in {name for name in before if before[name] != after[name]}


def test_checksums_do_not_depend_on_the_sizes_of_batches():
    import pyarrow as pa

    batch = pa.RecordBatch.from_pydict({"n": list(range(40_000)), "t": ["x"] * 40_000})
    whole, pieces = ColumnDigests(), ColumnDigests()
    whole.add(batch)
    for start in range(0, 40_000, 777):
        pieces.add(batch.slice(start, 777))
    assert whole.finish() == pieces.finish()
