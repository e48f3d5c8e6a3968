"""A session of another driver is refused in one sentence, wherever it is given."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_batches, read_df
from synfin_analytics.repositories import (
    CustomerRepository,
    MerchantRepository,
    ModelPredictionRepository,
    TransactionRepository,
)


@pytest.fixture
def psycopg3_session(manager):
    """A session on psycopg 3, which SQLAlchemy 2.1 takes for ``postgresql://``."""
    url = manager.get_connection_string().replace("postgresql+psycopg2://", "postgresql://")
    engine = create_engine(url)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.mark.parametrize(
    "use",
    [
        lambda session: read_df("merchants", session=session),
        lambda session: read_df("SELECT 1 AS a", session=session),
        lambda session: read_batches("SELECT 1 AS a", session=session).__enter__(),
        lambda session: load_df([{"merchant_id": "M1"}], "merchants", session=session),
        MerchantRepository,
        CustomerRepository,
        TransactionRepository,
        ModelPredictionRepository,
    ],
)
def test_a_session_of_psycopg_3_is_refused_with_what_to_write(psycopg3_session, use):
    with pytest.raises(
        ArgumentError, match=r"got postgresql\+psycopg\. Write postgresql\+psycopg2://"
    ):
        use(psycopg3_session)


def test_a_session_of_another_database_is_refused():
    with (
        Session(create_engine("sqlite://")) as session,
        pytest.raises(ArgumentError, match=r"got sqlite\+pysqlite"),
    ):
        MerchantRepository(session)
