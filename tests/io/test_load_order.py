"""In which order rows come into a table that has some."""

import polars as pl
import pytest
from sqlalchemy import text

from synfin_analytics.io.load import load_df
from synfin_analytics.io.load._write import MIN_ROWS_TO_REBUILD


def transactions(first: int, count: int) -> pl.DataFrame:
    """Rows in no order, neither of keys nor of timestamps."""
    number = pl.int_range(first, first + count, eager=True).reverse()
    return pl.DataFrame({"number": number}).select(
        transaction_id=pl.format("TX{}", pl.col("number").cast(pl.String).str.zfill(6)),
        customer_id=pl.lit("C1"),
        merchant_id=pl.lit("M1"),
        amount=pl.lit(1),
        timestamp=pl.from_epoch(1_500_000_000 + (pl.col("number") * 7919) % 99_991, "s"),
    )


@pytest.mark.parametrize(
    ("rows", "order"), [(MIN_ROWS_TO_REBUILD, "timestamp"), (100, "transaction_id")]
)
def test_many_rows_are_sorted_for_the_indexes_and_few_by_their_key(manager, rows, order):
    load_df(transactions(0, 1), "transactions", on_missing_parent="create", manager=manager)
    load_df(transactions(1, rows), "transactions", manager=manager)
    with manager.engine.connect() as connection:
        falls = connection.execute(
            text(
                f"SELECT count(*) FROM (SELECT {order} < lag({order}) OVER (ORDER BY ctid) AS f "
                "FROM transactions WHERE transaction_id <> 'TX000000') AS steps WHERE f"
            )
        ).scalar_one()
    assert falls == 0
