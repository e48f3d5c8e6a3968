"""An error of the database never quotes a row, whether it is ours or SQLAlchemy's."""

from __future__ import annotations

import traceback

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from synfin_analytics.exceptions import SynfinError
from synfin_analytics.repositories import CustomerRepository

EMAIL = "ana@example.org"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO customers (customer_id, email) VALUES ('C2', :email)",
        "INSERT INTO customers (customer_id, email, country) VALUES (NULL, :email, 'NO')",
        "UPDATE customers SET created_at = NULL WHERE email = :email",
        "SELECT CAST(:email AS integer)",
        "SELECT CAST(:email || 'x' AS date)",
    ],
)
def test_errors_of_sqlalchemy_quote_no_row(manager, statement):
    with manager.session_scope() as session:
        CustomerRepository(session).create(customer_id="C1", email=EMAIL)

    with manager.get_session() as session, pytest.raises(DBAPIError) as caught:
        session.execute(text(statement), {"email": EMAIL})

    traceback_text = "".join(traceback.format_exception(caught.value))
    assert EMAIL not in traceback_text
    assert "DETAIL" not in traceback_text


def test_a_session_of_the_users_own_engine_shows_no_parameters(manager):
    engine = create_engine(manager.get_connection_string())
    with Session(engine) as session:
        customers = CustomerRepository(session)
        customers.create(customer_id="C1", email=EMAIL)
        session.execute(text("ALTER TABLE customers RENAME COLUMN city TO town"))
        with pytest.raises(SynfinError, match="PostgreSQL rejects the statement") as caught:
            customers.create(customer_id="C2", email="eva@example.org")
        assert "eva@" not in f"{caught.value!r}"
        assert caught.value.__suppress_context__
    engine.dispose()
