"""The migrations and the models say the same: compared in PostgreSQL's own catalog."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from synfin_analytics.database import schema
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.database.models import DATA_VERSIONS, TABLES, Base

CATALOG = {
    "columns": """
        SELECT table_name, ordinal_position, column_name, data_type, character_maximum_length,
               numeric_precision, numeric_scale, is_nullable, column_default
        FROM information_schema.columns
        WHERE table_schema = current_schema() AND table_name <> 'alembic_version'
        ORDER BY table_name, ordinal_position""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace = current_schema()::regnamespace
          AND conrelid <> coalesce(to_regclass('alembic_version'), 0)
        ORDER BY 1, 2""",
    "indexes": """
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid)
        FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        WHERE relnamespace = current_schema()::regnamespace
          AND indrelid <> coalesce(to_regclass('alembic_version'), 0)
        ORDER BY 1""",
    "sequences": """
        SELECT sequencename, data_type FROM pg_sequences
        WHERE schemaname = current_schema() ORDER BY 1""",
}
TRIGGERS = {
    "triggers": """
        SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger
        WHERE NOT tgisinternal ORDER BY 1, 2""",
    "functions": """
        SELECT proname, pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace ORDER BY 1""",
}


@pytest.fixture
def empty(empty_database):
    manager = DatabaseManager(empty_database)
    yield manager
    manager.close()


def catalog(manager, queries=CATALOG):
    with manager.engine.connect() as connection:
        return {
            topic: [tuple(row) for row in connection.execute(text(query))]
            for topic, query in queries.items()
        }


def test_migrations_make_what_the_models_describe(empty):
    Base.metadata.create_all(empty.engine)
    described = catalog(empty)
    Base.metadata.drop_all(empty.engine)

    schema.upgrade(empty)

    migrated = catalog(empty)
    for topic, rows in described.items():
        assert migrated[topic] == rows, topic
    tables = [DATA_VERSIONS, *(model.__table__ for model in TABLES.values())]
    assert len(described["columns"]) == sum(len(table.columns) for table in tables)


def test_up_down_and_up_again_is_the_same(empty):
    schema.upgrade(empty)
    first = catalog(empty, CATALOG | TRIGGERS)

    schema.downgrade(empty, "base")
    schema.upgrade(empty)

    assert catalog(empty, CATALOG | TRIGGERS) == first
    assert len(first["triggers"]) == 16
    assert len(first["functions"]) == 5


def test_down_to_base_leaves_nothing(empty):
    schema.upgrade(empty)

    schema.downgrade(empty, "base")

    assert not any(catalog(empty, CATALOG | TRIGGERS).values())
    with empty.engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM alembic_version")).all() == []


def test_tables_and_functions_go_where_the_search_path_leads(empty):
    with empty.engine.begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text("CREATE SCHEMA fraud"))
        connection.execute(text(f'ALTER DATABASE "{name}" SET search_path = fraud, public'))
    empty.close()

    schema.upgrade(empty)

    with empty.engine.connect() as connection:
        query = (
            "SELECT DISTINCT relnamespace::regnamespace::text FROM pg_class WHERE relname = ANY(:t)"
        )
        assert connection.execute(text(query), {"t": list(TABLES)}).scalars().all() == ["fraud"]
        query = (
            "SELECT DISTINCT pronamespace::regnamespace::text FROM pg_proc "
            "WHERE proname LIKE 'synfin%'"
        )
        assert connection.execute(text(query)).scalars().all() == ["fraud"]
    schema.downgrade(empty, "base")
