"""What `synfin export x.csv` writes is what `synfin load x.csv` reads, for every table."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import frames_of
import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from polars.testing import assert_frame_equal
from sqlalchemy import delete, text

from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.cli._export import write_batches
from synfin_analytics.database.models import TABLES
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_batches, read_df

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager

few_examples = settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

#: Cells that are easily changed on their way through a file.
HARD = {
    "customers": {
        "customer_id": ["007", "1e5", "9007199254740993", "NULL", " x "],
        "city": [None, "", 'a "b", c\nd\r\ne', "=1+1", "\t"],
        "total_spent": [Decimal("9999999999999.99"), Decimal("0.01"), None, None, Decimal("0.10")],
        "latitude": [None, 5e-324, 0.1, -0.0, 89.99999999999999],
        "age": [None, 0, 1, 2, 120],
    },
    "fraud_patterns": {
        "pattern_type": ["a", "b"],
        "characteristics": [
            json.dumps({"n": 9007199254740993, "t": 'q"\n', "x": [1.5, None]}),
            None,
        ],
    },
}


def stored(table: str, session: Session) -> pl.DataFrame:
    key = spec_of(TABLES[table]).primary_key
    return read_df(
        f"SELECT * FROM {table} ORDER BY {key}", session=session, output="polars", use_decimal=True
    )


def again(table: str, session: Session, path: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of a table, and what they are after a way through a file."""
    before = stored(table, session)
    with read_batches(TABLES[table], session=session, use_decimal=True) as batches:
        write_batches(batches, path)
    session.execute(delete(TABLES[table]))
    load_df(path, table, session=session)
    return before, stored(table, session)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_comes_back_from_csv_as_it_was(
    manager: DatabaseManager, table: str, tmp_path: Path
) -> None:
    with manager.get_session() as session:
        if table in ("ml_features", "model_predictions"):
            transactions = frames_of.transactions(
                len(frames_of.KNOWN_TRANSACTIONS), transaction_id=frames_of.KNOWN_TRANSACTIONS
            )
            load_df(transactions, "transactions", on_missing_parent="create", session=session)

        @few_examples
        @given(frames_of.rows_of(table))
        def holds(rows: pl.DataFrame) -> None:
            nested = session.begin_nested()
            parents = "create" if table == "transactions" else "raise"
            load_df(rows, table, session=session, on_missing_parent=parents)
            assert_frame_equal(*again(table, session, tmp_path / "rows.csv"), check_exact=True)
            nested.rollback()

        holds()


@pytest.mark.parametrize("table", HARD)
def test_cells_that_are_easily_changed_are_not(
    session: Session, table: str, tmp_path: Path
) -> None:
    load_df(pl.DataFrame(HARD[table], strict=False), table, session=session)
    before, after = again(table, session, tmp_path / "rows.csv")
    assert_frame_equal(before, after, check_exact=True)
    texts = session.execute(text(f"SELECT t::text FROM {table} AS t")).scalars().all()
    assert any("9007199254740993" in row for row in texts)
