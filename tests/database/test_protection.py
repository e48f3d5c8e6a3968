"""Protected databases: what destroys data must confirm the name of the database."""

from __future__ import annotations

import pytest

from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.protection import require_confirmation
from synfin_analytics.exceptions import ArgumentError, ProtectedDatabaseError

PRODUCTION = DatabaseConfig(
    host="db.bank", database="fraud", environment="production", protected=True
)


def test_the_name_of_the_database_confirms():
    require_confirmation(PRODUCTION, "drop all tables", "fraud")


@pytest.mark.parametrize("confirm", [None, "", "Fraud", "fraud ", "production", "yes"])
def test_nothing_else_confirms(confirm):
    with pytest.raises(ProtectedDatabaseError, match="is protected by its environment: to drop"):
        require_confirmation(PRODUCTION, "drop all tables", confirm)


def test_the_error_names_the_environment():
    with pytest.raises(ProtectedDatabaseError, match="environment 'production'") as caught:
        require_confirmation(PRODUCTION, "drop all tables", None)

    assert (caught.value.database, caught.value.environment) == ("fraud", "production")


def test_other_databases_need_no_confirmation():
    require_confirmation(DatabaseConfig(), "drop all tables", None)


def test_the_name_of_another_database_is_a_mistake_anywhere():
    with pytest.raises(ArgumentError, match="must be the name of the database, 'synfinance'"):
        require_confirmation(DatabaseConfig(), "drop all tables", "fraud")
