"""Property: what is loaded is read back equal, and what is invalid is refused, cell by cell."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

import frames_of
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from synfin_analytics._core.validation.spec import spec_of
from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import InvalidDataError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager

# Digit by digit: by default polars compares floats as more or less equal.
assert_frame_equal = functools.partial(polars.testing.assert_frame_equal, check_exact=True)

more_examples = settings(
    max_examples=12,
    deadline=None,
    # The frames are small as they are: looking for smaller ones takes minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
fewer_examples = settings(more_examples, max_examples=4)


@pytest.fixture
def fresh_session(manager: DatabaseManager, table: str) -> Iterator[Session]:
    """A session whose transaction holds the transactions to refer to; never committed."""
    with manager.get_session() as session:
        if table in ("ml_features", "model_predictions"):
            transactions = frames_of.KNOWN_TRANSACTIONS
            frame = frames_of.transactions(len(transactions), transaction_id=transactions)
            load_df(frame, "transactions", on_missing_parent="create", session=session)
        yield session


def _load(data: Any, table: str, session: Session, **options: Any) -> Any:
    parents = "create" if table == "transactions" else "raise"
    return load_df(data, table, session=session, on_missing_parent=parents, **options)


def _read(table: str, like: pl.DataFrame, session: Session, **options: Any) -> Any:
    """The columns of ``like``."""
    model = TABLES[table]
    spec = spec_of(model)
    query = select(*(model.__table__.c[name] for name in like.columns))
    query = query.order_by(model.__table__.c[spec.primary_key])
    return read_df(query, session=session, **options)


def _canonical(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    """JSON by its meaning; rows in the order of the key, as text sorts in the database."""
    spec = spec_of(TABLES[table])
    jsons = [name for name in frame.columns if spec.columns[name].kind == "json"]
    frame = frame.with_columns(
        pl.col(name).map_elements(
            lambda text: json.dumps(json.loads(text), sort_keys=True), return_dtype=pl.String
        )
        for name in jsons
    )
    key = next(
        (key for key in spec.unique if set(key) <= set(frame.columns)), tuple(frame.columns[:1])
    )
    return frame if table.endswith("_patterns") else frame.sort(key)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("kind", frames_of.KINDS)
def test_every_kind_of_frame_is_read_back_equal(
    kind: str, table: str, fresh_session: Session, tmp_path: Path
) -> None:
    @given(frames_of.rows_of(table))
    @fewer_examples
    def holds(rows: pl.DataFrame) -> None:
        with fresh_session.begin_nested() as savepoint:
            report = _load(frames_of.KINDS[kind](rows, tmp_path), table, fresh_session)
            want = frames_of.expected(rows, table)
            result = _read(table, want, fresh_session, output="polars", use_decimal=True)
            assert report.inserted == rows.height
            assert_frame_equal(_canonical(result, table), _canonical(want, table))
            savepoint.rollback()

    holds()


@pytest.mark.parametrize("exact", [False, True], ids=["float", "exact"])
@pytest.mark.parametrize("table", TABLES)
def test_every_kind_of_result_holds_the_same_values(
    table: str, exact: bool, fresh_session: Session
) -> None:
    @given(frames_of.rows_of(table))
    @more_examples
    def holds(rows: pl.DataFrame) -> None:
        with fresh_session.begin_nested() as savepoint:
            _load(rows, table, fresh_session)
            want = frames_of.expected(rows, table)
            if not exact:
                want = want.with_columns(pl.col(pl.Decimal).cast(pl.Float64))
            for frame in ("polars", "arrow", "pandas"):
                result = _read(table, want, fresh_session, output=frame, use_decimal=exact)
                if isinstance(result, pd.DataFrame):
                    result = pa.Table.from_pandas(result, preserve_index=False)
                if isinstance(result, pa.Table):
                    result = pl.from_arrow(result)
                assert_frame_equal(_canonical(result, table), _canonical(want, table))
            savepoint.rollback()

    holds()


@pytest.mark.parametrize("table", ["customers", "merchants", "transactions", "fraud_patterns"])
def test_an_empty_table_that_is_rebuilt_holds_the_same_values(
    table: str, manager: DatabaseManager
) -> None:
    @given(frames_of.rows_of(table, min_rows=1))
    @settings(more_examples, max_examples=4)
    def holds(rows: pl.DataFrame) -> None:
        with manager.get_session() as session:
            report = _load(rows, table, session, rebuild_indexes="always")
            want = frames_of.expected(rows, table)
            result = _read(table, want, session, output="polars", use_decimal=True)
            assert report.inserted == rows.height
            assert_frame_equal(_canonical(result, table), _canonical(want, table))

    holds()


def _bad_cells(table: str, column: str) -> list[Any]:
    """Values that a column refuses, whatever the frame."""
    spec = spec_of(TABLES[table]).columns[column]
    always: list[Any] = [object, b"bytes", [1, object]]
    by_kind: dict[str, list[Any]] = {
        "text": ["nul\0", "\ud800", 1.5, "x" * 300 if spec.length else "\0", True],
        "integer": [1.5, 10**30, "12", float("inf"), -(10**6) if spec.rule else 2**63],
        "number": [float("inf"), "1.0", 2**80 + 1, True],
        "decimal": [float("inf"), 10**20, "1", 0.0000000001, -5, True],
        "boolean": [2, "true", 0.5],
        "timestamp": ["yesterday", 5, "2024-13-01", "0000-01-01"],
        "date": ["2024-02-30", 5, pd.Timestamp("2024-01-01 10:00")],
        "json": ["{", '{"a": NaN}', '"\\ud800"', '"\\u0000"', 5, "1e999999", "[" * 300 + "]" * 300],
    }
    bad = always + by_kind[spec.kind]
    if spec.required:
        bad.append(None)
    return bad


@pytest.mark.parametrize("kind", ["pandas-object", "dicts"])
@pytest.mark.parametrize("table", TABLES)
def test_every_bad_cell_is_listed_and_nothing_is_loaded(
    table: str, kind: str, fresh_session: Session
) -> None:
    @given(st.data())
    @more_examples
    def holds(data: st.DataObject) -> None:
        rows = data.draw(frames_of.rows_of(table, min_rows=1))
        columns = {name: rows[name].to_list() for name in rows.columns}
        places = data.draw(
            st.sets(
                st.tuples(st.integers(0, rows.height - 1), st.sampled_from(rows.columns)),
                min_size=1,
                max_size=6,
            )
        )
        for row, name in places:
            columns[name][row] = data.draw(st.sampled_from(_bad_cells(table, name)))
        given_data: Any = (
            pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
            if kind == "pandas-object"
            else [
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
            ]
        )
        before = read_df(table, session=fresh_session, output="polars")
        with pytest.raises(InvalidDataError) as caught:
            _load(given_data, table, fresh_session)
        listed = {
            (row, problem.column) for problem in caught.value.problems for row in problem.rows
        }
        assert listed == places
        assert_frame_equal(read_df(table, session=fresh_session, output="polars"), before)

    holds()
