"""Versions of the tables: up, down, who is refused in what words, and Alembic's commands."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg2
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text

import synfin_analytics
from synfin_analytics.database import schema
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.database.models import TABLES, Base
from synfin_analytics.database.schema import LOCK_KEY
from synfin_analytics.exceptions import ArgumentError, NotFoundError, SchemaError

CHECKOUT = Path(synfin_analytics.__file__).parents[1]
LATEST = schema.known_versions()[-1]
NEXT = f"{int(LATEST) + 1:04d}"

NEXT_VERSION = '''
"""A note for each merchant."""

from alembic import op

revision = "{revision}"
down_revision = "{previous}"


def upgrade():
    op.execute("ALTER TABLE merchants ADD COLUMN note text")
    op.execute("{also}")


def downgrade():
    op.execute("ALTER TABLE merchants DROP COLUMN note")
'''


@pytest.fixture
def empty(empty_database):
    """A manager of a database without tables."""
    manager = DatabaseManager(empty_database)
    yield manager
    manager.close()


@pytest.fixture
def checkout(tmp_path):
    """A copy of this checkout's package and migrations, to change."""
    for part in ("synfin_analytics", "migrations"):
        shutil.copytree(CHECKOUT / part, tmp_path / part)
    shutil.copy(CHECKOUT / "alembic.ini", tmp_path)
    return tmp_path


@pytest.fixture
def next_version(checkout):
    """A copy of the package that is one version ahead."""
    write_next_version(checkout)
    return checkout


def write_next_version(checkout, also="SELECT 1"):
    path = checkout / "migrations" / "versions" / f"{NEXT}_note.py"
    path.write_text(
        NEXT_VERSION.format(also=also, revision=NEXT, previous=LATEST), encoding="utf-8"
    )


def python(code, package=CHECKOUT, cwd="/"):
    """Run code with the package that lies in a folder."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(package)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


UPGRADE = """
from synfin_analytics.database import schema
from synfin_analytics.exceptions import SynfinError
from synfin_analytics.database.manager import DatabaseManager
manager = DatabaseManager()
try:
    print(schema.upgrade(manager), end="")
except SynfinError as error:
    print(f"{type(error).__name__}: {error}", end="")
finally:
    manager.close()
"""


def execute(manager, statement):
    with manager.engine.begin() as connection:
        connection.execute(text(statement))


def engine_with(server, database, options):
    """A plain engine of SQLAlchemy, with options of the server for its sessions."""
    arguments = server.connect_arguments(database)
    return create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(**arguments, options=options)
    )


# -- Up and down ------------------------------------------------------------------------------


def test_upgrade_creates_the_tables_and_says_the_version(empty):
    assert schema.current(empty) is None

    assert schema.upgrade(empty) == LATEST

    assert schema.current(empty) == LATEST
    assert set(inspect(empty.engine).get_table_names()) == {
        *TABLES,
        "alembic_version",
        "synfin_data_versions",
    }


def test_upgrade_again_keeps_the_rows(empty):
    schema.upgrade(empty)
    execute(empty, "INSERT INTO customers (customer_id) VALUES ('C1')")

    assert schema.upgrade(empty) == LATEST

    with empty.engine.connect() as connection:
        assert connection.execute(text("SELECT customer_id FROM customers")).scalars().all() == [
            "C1"
        ]


def test_downgrade_goes_back_one_step_by_default(empty):
    schema.upgrade(empty)

    assert schema.downgrade(empty) == schema.known_versions()[-2]


def test_downgrade_to_base_drops_the_tables(empty):
    schema.upgrade(empty)

    assert schema.downgrade(empty, "base") is None

    assert inspect(empty.engine).get_table_names() == ["alembic_version"]


def test_downgrade_of_an_empty_database_to_base_does_nothing(empty):
    assert schema.downgrade(empty, "base") is None

    assert inspect(empty.engine).get_table_names() == []


def test_upgrade_goes_one_step_or_to_a_version(empty):
    assert schema.upgrade(empty, "+1") == "0001"
    assert schema.upgrade(empty, "0001") == "0001"


def test_an_engine_does_as_well_as_a_manager(empty):
    assert schema.upgrade(empty.engine) == LATEST
    assert schema.current(empty.engine) == LATEST


def test_manager_creates_and_drops_the_tables_by_migrations(empty):
    empty.create_all_tables()
    assert schema.current(empty) == LATEST

    empty.drop_all_tables()
    assert schema.current(empty) is None


def test_history_begins_with_the_first_version():
    first = schema.history()[0]

    assert (first.revision, first.previous) == ("0001", None)
    assert "seven tables" in first.summary


def test_versions_are_a_line_that_alembic_sees_as_well():
    scripts = ScriptDirectory(str(CHECKOUT / "migrations"))

    assert [script.revision for script in scripts.walk_revisions()][::-1] == schema.known_versions()
    assert scripts.get_heads() == [schema.known_versions()[-1]]


@pytest.mark.parametrize(
    ("direction", "revision"),
    [
        (schema.upgrade, "0042"),
        (schema.upgrade, "-1"),
        (schema.upgrade, "base"),
        (schema.downgrade, "head"),
        (schema.downgrade, "+1"),
        (schema.downgrade, ""),
    ],
)
def test_a_version_that_there_is_not_is_refused(empty, direction, revision):
    with pytest.raises(NotFoundError, match="There is no version of the tables"):
        direction(empty, revision)

    assert inspect(empty.engine).get_table_names() == []


@pytest.mark.parametrize(
    ("direction", "revision"), [(schema.upgrade, "+1"), (schema.downgrade, "-9")]
)
def test_more_steps_than_there_are_are_refused(empty, direction, revision):
    schema.upgrade(empty)

    with pytest.raises(ArgumentError, match=rf"from version {LATEST} to '[+-]\d'"):
        direction(empty, revision)

    assert schema.current(empty) == LATEST


NEW_INDEXES = {"ix_transactions_timestamp_anomaly"}


def names_of_indexes(manager):
    return {index["name"] for index in inspect(manager.engine).get_indexes("transactions")}


def test_version_0002_adds_its_index_and_takes_it_back(empty):
    schema.upgrade(empty, "0001")
    before = names_of_indexes(empty)

    schema.upgrade(empty, "0002")
    assert names_of_indexes(empty) - before == NEW_INDEXES

    schema.downgrade(empty, "0001")
    assert names_of_indexes(empty) == before


def test_version_0002_is_taken_back_where_its_index_was_dropped(empty):
    schema.upgrade(empty, "0002")
    execute(empty, "DROP INDEX ix_transactions_timestamp_anomaly")

    assert schema.downgrade(empty, "0001") == "0001"
    assert not names_of_indexes(empty) & NEW_INDEXES


# -- All or nothing ---------------------------------------------------------------------------


def test_an_upgrade_that_fails_half_way_changes_nothing(empty):
    execute(empty, "CREATE TABLE ix_transactions_timestamp (mine text)")

    with pytest.raises(
        SchemaError, match=r"ix_transactions_timestamp.*already exists.*Nothing was"
    ):
        schema.upgrade(empty)

    assert inspect(empty.engine).get_table_names() == ["ix_transactions_timestamp"]


def test_two_steps_of_which_the_second_fails_change_nothing(empty, checkout):
    write_next_version(checkout, also="SELECT 1 / 0")

    result = python(UPGRADE, checkout)

    assert result.stdout.startswith("SchemaError: The server refused: division by zero."), result
    assert inspect(empty.engine).get_table_names() == []


def test_a_message_never_shows_the_row_that_the_server_refused(empty, checkout):
    schema.upgrade(empty)
    execute(
        empty,
        "INSERT INTO customers (customer_id, last_name) VALUES ('C1', 'Byron'), ('C2', 'Byron')",
    )
    # The server's detail is "Key (last_name)=(Byron) is duplicated".
    write_next_version(checkout, also="CREATE UNIQUE INDEX ON customers (last_name)")

    result = python(UPGRADE, checkout)

    assert "could not create unique index" in result.stdout
    assert "Byron" not in result.stdout + result.stderr


def test_an_engine_in_autocommit_still_does_all_or_nothing(empty):
    execute(empty, "CREATE TABLE ix_transactions_timestamp (mine text)")
    engine = empty.engine.execution_options(isolation_level="AUTOCOMMIT")

    with pytest.raises(SchemaError):
        schema.upgrade(engine)

    assert inspect(empty.engine).get_table_names() == ["ix_transactions_timestamp"]


def test_an_upgrade_waits_for_another_one(empty):
    finished = []
    with empty.engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        upgrading = threading.Thread(target=lambda: finished.append(schema.upgrade(empty)))
        upgrading.start()
        wait_for_the_question(empty)
        assert finished == []
    upgrading.join(60)

    assert finished == [LATEST]


def wait_for_the_question(manager):
    """Wait until another session has asked for the lock, and has not got it."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND query LIKE '%pg_try_advisory_xact_lock%'"
    )
    for _ in range(1200):
        with manager.engine.connect() as connection:  # what it shows stays within a transaction
            if connection.execute(query).scalar_one():
                return
        time.sleep(0.05)
    raise AssertionError("nobody asked for the lock")


def test_processes_that_upgrade_at_once_all_find_the_tables(empty):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADE],
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]

    assert [process.communicate(timeout=120)[0] for process in processes] == [LATEST] * 3


# -- Who is refused, in what words ------------------------------------------------------------


def test_tables_that_are_up_to_date_are_accepted(empty):
    schema.upgrade(empty)

    schema.require_current(empty)
    assert schema.check_version(empty).state == "current"


def test_a_database_without_tables_says_what_to_run(empty):
    with pytest.raises(SchemaError, match=r"no tables yet.*`synfin db upgrade`"):
        schema.require_current(empty)


def test_an_older_database_says_what_to_run_and_can_be_upgraded(empty, next_version):
    schema.upgrade(empty)

    version = python(
        "from synfin_analytics.database import schema\n"
        "from synfin_analytics.database.manager import DatabaseManager\n"
        "print(schema.check_version(DatabaseManager()))",
        next_version,
    )
    assert f"have version {LATEST}, and this package needs {NEXT}" in version.stdout
    assert "`synfin db upgrade`" in version.stdout

    assert python(UPGRADE, next_version).stdout == NEXT
    assert "note" in {c["name"] for c in inspect(empty.engine).get_columns("merchants")}


def test_a_newer_database_is_refused(empty, next_version):
    assert python(UPGRADE, next_version).stdout == NEXT

    for call in (schema.require_current, schema.upgrade, schema.downgrade):
        with pytest.raises(SchemaError, match=rf"newer version.*{NEXT}.*pip install --upgrade"):
            call(empty)

    assert "note" in {c["name"] for c in inspect(empty.engine).get_columns("merchants")}


def test_tables_of_our_names_that_are_not_ours_are_refused(empty):
    execute(empty, "CREATE TABLE customers (id int)")

    for call in (schema.require_current, schema.upgrade):
        with pytest.raises(SchemaError, match=r"\(customers\): no version is recorded"):
            call(empty)
    with pytest.raises(SchemaError, match=r"\(customers\)"):
        schema.downgrade(empty, "base")

    assert inspect(empty.engine).get_table_names() == ["customers"]


def test_the_version_of_another_program_is_refused(empty):
    execute(empty, "CREATE TABLE alembic_version AS SELECT '3f2a9c' AS version_num")

    with pytest.raises(SchemaError, match=r"alembic_version \(3f2a9c\).*another program"):
        schema.upgrade(empty)


def test_a_user_without_the_right_to_create_tables_gets_a_clear_error(
    server, empty, empty_database
):
    role = f"limited_{empty_database.database}"
    execute(empty, f"CREATE ROLE {role}")
    engine = engine_with(server, empty_database.database, f"-c role={role}")

    with pytest.raises(SchemaError, match=r"permission denied for schema public.*GRANT CREATE"):
        schema.upgrade(engine)

    engine.dispose()
    execute(empty, f"DROP ROLE {role}")


def test_a_read_only_server_is_distinguished(server, empty, empty_database):
    engine = engine_with(server, empty_database.database, "-c default_transaction_read_only=on")

    with pytest.raises(SchemaError, match=r"read-only transaction.*connect to the primary"):
        schema.upgrade(engine)
    engine.dispose()


def test_tables_that_views_are_built_on_stay(empty):
    schema.upgrade(empty)
    execute(empty, "CREATE VIEW report AS SELECT count(*) FROM fraud_patterns")

    with pytest.raises(SchemaError, match=r"depend on it.*Views or tables of others depend"):
        schema.downgrade(empty, "base")

    assert schema.current(empty) == LATEST


def test_a_server_that_cannot_be_reached_is_no_riddle():
    engine = create_engine("postgresql+psycopg2://ana:s3cret@127.0.0.1:1/none")

    with pytest.raises(SchemaError, match="Connection refused") as refusal:
        schema.current(engine)

    assert "s3cret" not in str(refusal.value)


# -- Where it runs ----------------------------------------------------------------------------


def test_upgrade_runs_in_any_folder_without_alembic_ini(empty, tmp_path):
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = nowhere\n")

    assert python(UPGRADE, cwd=tmp_path).stdout == LATEST


def test_upgrade_runs_from_a_folder_with_signs_that_mean_something_elsewhere(empty, tmp_path):
    folder = tmp_path / "50% of it; ü:b"
    for part in ("synfin_analytics", "migrations"):
        shutil.copytree(CHECKOUT / part, folder / part)

    # PYTHONPATH itself cannot hold the colon.
    result = python(f"import sys; sys.path.insert(0, {str(folder)!r})\n{UPGRADE}", package="/")

    assert result.stdout == LATEST, result.stderr


def test_migrations_inside_the_package_come_first(empty, next_version):
    (next_version / "migrations").rename(next_version / "synfin_analytics" / "_migrations")

    assert python(UPGRADE, next_version).stdout == NEXT


def test_a_package_without_its_migrations_says_so(empty, checkout):
    shutil.rmtree(checkout / "migrations")

    assert "the installation is incomplete" in python(UPGRADE, checkout).stdout


def test_a_look_at_the_version_does_not_import_alembic(empty):
    schema.upgrade(empty)

    result = python(
        "import sys\n"
        "from synfin_analytics.database import schema\n"
        "from synfin_analytics.database.manager import DatabaseManager\n"
        "schema.require_current(DatabaseManager())\n"
        "print([name for name in sys.modules if name.startswith('alembic')])"
    )

    assert result.stdout.strip() == "[]", result.stderr


def test_logging_is_as_before_after_an_upgrade(empty):
    own_logger = logging.getLogger("an.analyst")
    before = (own_logger.disabled, logging.root.level, list(logging.root.handlers))

    schema.upgrade(empty)

    assert (own_logger.disabled, logging.root.level, list(logging.root.handlers)) == before


# -- Alembic's own commands, in a checkout ----------------------------------------------------


def alembic(checkout, *arguments):
    result = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_alembic_goes_up_and_down_and_says_where_it_is(empty, checkout):
    alembic(checkout, "upgrade", "head")
    assert schema.current(empty) == LATEST
    assert alembic(checkout, "current").strip() == f"{LATEST} (head)"
    assert "<base> -> 0001, The seven tables" in alembic(checkout, "history")
    assert "No new upgrade operations" in alembic(checkout, "check")

    alembic(checkout, "downgrade", "-1")
    assert schema.current(empty) == schema.known_versions()[-2]
    alembic(checkout, "downgrade", "base")
    assert schema.current(empty) is None


def test_alembic_leaves_the_loggers_of_others_switched_on(empty, checkout):
    result = python(
        "import logging\n"
        "mine = logging.getLogger('an.analyst')\n"
        "from alembic import command\n"
        "from alembic.config import Config\n"
        "command.current(Config('alembic.ini'))\n"
        "print('disabled:', mine.disabled)",
        package=checkout,
        cwd=checkout,
    )

    assert result.stdout.strip() == "disabled: False", result.stderr


def test_alembic_makes_the_next_revision_from_a_changed_model(empty, checkout):
    alembic(checkout, "upgrade", "head")
    model = checkout / "synfin_analytics" / "database" / "models.py"
    source = model.read_text(encoding="utf-8")
    model.write_text(
        source.replace(
            "    total_transactions: Mapped[Count | None]\n",
            "    total_transactions: Mapped[Count | None]\n    note: Mapped[Name | None]\n",
        ),
        encoding="utf-8",
    )

    alembic(checkout, "revision", "--autogenerate", "-m", "A note for each merchant")

    (revision_file,) = (checkout / "migrations" / "versions").glob(f"{NEXT}_*.py")
    written = revision_file.read_text(encoding="utf-8")
    assert revision_file.name == f"{NEXT}_a_note_for_each_merchant.py"
    assert written.count("add_column") == written.count("drop_column") == 1
    assert "create_table" not in written
    alembic(checkout, "upgrade", "head")
    assert "note" in {c["name"] for c in inspect(empty.engine).get_columns("merchants")}
    assert "No new upgrade operations" in alembic(checkout, "check")


OTHERS = """
    CREATE TABLE risk_scores (id int PRIMARY KEY, place point, at tsrange, UNIQUE (at));
    CREATE TABLE notes (of text REFERENCES transactions, CHECK (of <> 'x'));
    CREATE VIEW dear AS SELECT * FROM transactions WHERE amount > 1000;
    CREATE INDEX ix_transactions_amount ON transactions (amount);
    CREATE INDEX ix_transactions_of_the_bank ON transactions (city, amount DESC);
    CREATE UNIQUE INDEX uq_of_the_bank ON merchants (lower(merchant_id));
    ALTER TABLE customers ADD COLUMN branch text, ADD CONSTRAINT one_branch UNIQUE (branch);
    ALTER TABLE merchants ADD CONSTRAINT by_country CHECK (merchant_id <> 'x');
    CREATE SCHEMA mart;
    CREATE TABLE mart.transactions (id int PRIMARY KEY);
    CREATE SEQUENCE numbers;
"""


def test_alembic_proposes_nothing_about_what_others_made(empty, checkout):
    alembic(checkout, "upgrade", "head")
    with empty.engine.begin() as connection:
        connection.connection.cursor().execute(OTHERS)

    assert "No new upgrade operations" in alembic(checkout, "check")
    alembic(checkout, "revision", "--autogenerate", "-m", "Nothing")
    (revision_file,) = (checkout / "migrations" / "versions").glob(f"{NEXT}_*.py")
    assert "op." not in revision_file.read_text(encoding="utf-8")


def test_alembic_numbers_an_empty_revision_and_takes_a_given_number(empty, checkout):
    alembic(checkout, "upgrade", "head")

    alembic(checkout, "revision", "-m", "By hand")
    alembic(checkout, "revision", "--rev-id", "0007", "-m", "Lucky")

    names = {path.name for path in (checkout / "migrations" / "versions").glob("*.py")}
    released = {path.name for path in (CHECKOUT / "migrations" / "versions").glob("*.py")}
    assert names - released == {f"{NEXT}_by_hand.py", "0007_lucky.py"}


def test_alembic_writes_sql_for_those_who_run_it_themselves(empty, checkout):
    script = alembic(checkout, "upgrade", "head", "--sql")

    assert inspect(empty.engine).get_table_names() == []
    with empty.engine.connect() as connection:
        connection.connection.cursor().execute(script)
    schema.require_current(empty)


def test_no_address_of_a_database_is_written_into_a_file():
    for path in (CHECKOUT / "alembic.ini", CHECKOUT / "migrations" / "env.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if "sqlalchemy.url" in line and line[0] not in "#; "]


def test_models_and_migrations_know_the_same_tables(empty):
    schema.upgrade(empty)

    assert set(inspect(empty.engine).get_table_names()) - {"alembic_version"} == {
        *Base.metadata.tables
    }
