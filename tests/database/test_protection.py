"""Protected databases: what destroys data must confirm the name of the database."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session

from synfin_analytics.database import schema
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager, get_db_manager
from synfin_analytics.database.protection import require_confirmation
from synfin_analytics.exceptions import ArgumentError, ProtectedDatabaseError
from synfin_analytics.io import load_df
from synfin_analytics.repositories import MerchantRepository

ROOT = Path(__file__).parents[2]
MERCHANT = {"merchant_id": "M1"}

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


# -- What destroys ----------------------------------------------------------------------------


@pytest.fixture
def protected(manager):
    """A manager of a protected database with one merchant."""
    load_df([MERCHANT], "merchants", manager=manager)
    manager = DatabaseManager(replace(manager.config, environment="production", protected=True))
    yield manager
    assert merchants(manager) == 1  # whatever was refused has changed nothing
    manager.close()


def merchants(manager):
    with manager.engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM merchants")).scalar_one()


def load_into(manager, **options):
    with manager.get_session() as session:
        MerchantRepository(session).bulk_create([], **options)


@pytest.mark.parametrize(
    "destroy",
    [
        lambda manager: manager.drop_all_tables(),
        lambda manager: manager.drop_all_tables(confirm="other"),
        lambda manager: schema.downgrade(manager),
        lambda manager: schema.downgrade(manager.engine, "base"),
        lambda manager: schema.downgrade(manager.engine.execution_options(), "base"),
        lambda manager: load_df([], "merchants", manager=manager, rebuild_indexes="always"),
        lambda manager: manager.bulk_insert([], table="merchants", rebuild_indexes="always"),
        lambda manager: load_into(manager, rebuild_indexes="always", confirm="merchants"),
    ],
)
def test_a_protected_database_refuses_what_destroys(protected, destroy):
    with pytest.raises(ProtectedDatabaseError, match="Nothing was changed"):
        destroy(protected)


def test_other_calls_need_no_confirmation(protected):
    schema.upgrade(protected)
    protected.create_all_tables()
    load_into(protected)


def test_the_name_of_the_database_lets_a_load_rebuild_its_indexes(protected):
    load_into(protected, rebuild_indexes="always", confirm=protected.config.database)


def test_the_managers_of_the_process_are_protected_too(protected, monkeypatch):
    get_db_manager().close()
    get_db_manager(protected.config)

    with pytest.raises(ProtectedDatabaseError):
        get_db_manager().drop_all_tables()

    get_db_manager().close()


def test_an_engine_of_the_user_reaches_the_same_protected_database(tcp_server, tmp_path):
    tcp_server.create_database("kept")
    config = tcp_server.config(database="kept")
    manager = DatabaseManager(config)
    manager.create_all_tables()
    (tmp_path / "synfin.toml").write_text(
        f'[production]\nhost = "127.0.0.1"\nport = {config.port}\ndatabase = "kept"\n'
        "protected = true\n"
    )
    engine = create_engine(manager.get_connection_string())

    with contextlib.chdir(tmp_path):
        with pytest.raises(ProtectedDatabaseError, match=r"is protected by \[production\] of"):
            schema.downgrade(engine, "base")
        with pytest.raises(ProtectedDatabaseError), Session(engine) as session:
            load_df([], "merchants", session=session, rebuild_indexes="always")
        with pytest.raises(ProtectedDatabaseError):
            manager.drop_all_tables()

        manager.drop_all_tables(confirm="kept")

    engine.dispose()
    manager.close()


def test_the_name_of_the_database_lets_it_be_dropped(empty_database):
    manager = DatabaseManager(replace(empty_database, protected=True))
    manager.create_all_tables()

    manager.drop_all_tables(confirm=empty_database.database)

    assert schema.current(manager) is None
    manager.close()


# -- Alembic's own command --------------------------------------------------------------------


def alembic(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(ROOT / "alembic.ini"), *arguments],
        cwd=folder, env={**os.environ, "DB_ENV": "production"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_alembic_refuses_a_downgrade_and_a_stamp_back(protected, tmp_path):
    name = protected.config.database
    (tmp_path / "synfin.toml").write_text("[production]\nprotected = true\n")

    for command in (["downgrade", "base"], ["-x", "confirm=other", "downgrade", "-1"],
                    ["stamp", "base"]):  # fmt: skip
        result = alembic(tmp_path, *command)
        assert result.returncode != 0
        assert f"alembic -x confirm={name}" in result.stderr, command
        assert "Traceback" not in result.stderr
    assert alembic(tmp_path, "upgrade", "head").returncode == 0


def test_alembic_downgrades_with_the_name(empty_database, tmp_path):
    (tmp_path / "synfin.toml").write_text("[production]\nprotected = true\n")
    manager = DatabaseManager(empty_database)
    manager.create_all_tables()

    result = alembic(tmp_path, "-x", f"confirm={empty_database.database}", "downgrade", "base")

    assert result.returncode == 0, result.stderr
    assert schema.current(manager) is None
    manager.close()
