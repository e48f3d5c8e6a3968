"""The command ``synfin`` and its group ``db``."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
import uuid

import psycopg2
import pytest
from click.testing import CliRunner
from psycopg2 import errors, sql
from sqlalchemy import create_engine, text

from synfin_analytics.cli import COMMANDS, main
from synfin_analytics.database import embedded, schema
from synfin_analytics.database.grants import grant_read, personal_columns
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.database.schema import LOCK_KEY
from synfin_analytics.exceptions import ArgumentError, QueryError, SchemaError
from synfin_analytics.io.read import read_df
from synfin_analytics.repositories import TransactionRepository

LATEST = schema.known_versions()[-1]
COMMAND = [sys.executable, "-c", "from synfin_analytics.cli import main; main()"]
HIDDEN = [(table, column) for table, names in personal_columns().items() for column in names]


def synfin(*arguments, answer=None, **environment):
    return CliRunner().invoke(
        main, list(arguments), input=answer, env=environment, prog_name="synfin"
    )


def succeeds(*arguments, **options):
    result = synfin(*arguments, **options)
    assert result.exit_code == 0, result.output
    return result.stdout


def fails(*arguments, code=1, **options):
    result = synfin(*arguments, **options)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stderr


@pytest.fixture
def empty(empty_database):
    manager = DatabaseManager(empty_database)
    yield manager
    manager.close()


@pytest.fixture
def filled(manager):
    """A database with tables, and one customer in them."""
    execute(manager, "INSERT INTO customers (customer_id) VALUES ('C1')")
    execute(manager, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")  # PostgreSQL 14 grants it
    yield manager
    execute(manager, "DROP TABLE IF EXISTS later")


def execute(manager, statement):
    with manager.engine.begin() as connection:
        connection.execute(text(statement))


# -- The group --------------------------------------------------------------------------------


def test_help_lists_every_command_without_importing_the_database():
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from synfin_analytics.cli import main\n"
            "main(['--help'], standalone_mode=False)\n"
            "heavy = {'sqlalchemy', 'pandas', 'matplotlib', 'synfin_analytics.cli.db'}\n"
            "print('imported:', sorted(heavy & set(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "imported: []" in result.stdout
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} " in result.stdout
        assert summary in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_listed_command_is_there_when_it_is_used(name):
    assert succeeds(name, "--help").startswith(f"Usage: synfin {name} ")


def test_unknown_command_is_a_usage_error():
    assert "dbb" in fails("dbb", code=2)


def test_version_is_reported():
    assert succeeds("--version").startswith("synfin, version ")


def test_an_error_of_ours_is_one_line_and_exit_code_1(empty):
    output = fails("db", "grant", "ana")

    assert output.count("\n") == 1
    assert output.startswith("Error: Database ")
    assert "`synfin db upgrade`" in output


def test_a_wrong_variable_is_one_line_too(empty):
    assert fails("db", "current", DB_POOL_SIZE="many").startswith("Error: DB_POOL_SIZE")


@pytest.mark.parametrize(
    "how", [{"arguments": ["--debug"]}, {"environment": {"SYNFIN_DEBUG": "1"}}]
)
def test_debug_shows_where_an_error_came_from(empty, how):
    result = synfin(*how.get("arguments", []), "db", "grant", "ana", **how.get("environment", {}))

    assert isinstance(result.exception, SchemaError)
    assert result.exit_code == 1


def test_the_error_is_red_on_a_terminal(empty):
    result = CliRunner().invoke(main, ["db", "grant", "ana"], color=True)

    assert result.stderr.startswith("\x1b[31mError: ")


def test_ctrl_c_ends_it_with_130_and_changes_nothing(empty):
    with empty.engine.connect() as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        process = subprocess.Popen(
            [*COMMAND, "db", "upgrade"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for_the_question(empty)
        process.send_signal(signal.SIGINT)
        out, output = process.communicate(timeout=60)

    assert (process.returncode, out) == (130, "")
    assert output.strip() == "Interrupted."
    assert schema.current(empty) is None


def wait_for_the_question(manager):
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND query LIKE '%pg_try_advisory_xact_lock%'"
    )
    for _ in range(1200):
        with manager.engine.connect() as connection:
            if connection.execute(query).scalar_one():
                return
        time.sleep(0.05)
    raise AssertionError("nobody asked for the lock")


def test_ctrl_c_at_a_question_ends_it_with_130(filled):
    process = subprocess.Popen(
        [*COMMAND, "db", "downgrade", "base"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if "anomaly_patterns" in line:  # the last line before the question
            break
    # The question itself stands on stderr, and ends without a new line.
    os.read(process.stderr.fileno(), 1)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:  # it came just before Python began to wait for input
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == 130
    assert schema.current(filled) == LATEST


# -- Versions ---------------------------------------------------------------------------------


def test_upgrade_creates_the_tables_and_says_so(empty, empty_database):
    first = succeeds("db", "upgrade")
    again = succeeds("db", "upgrade")

    assert empty_database.database in first
    assert f"upgraded from no tables to {LATEST}" in first
    assert f"already at version {LATEST}" in again
    schema.require_current(empty)


def test_upgrade_to_a_version_that_is_not_known_is_refused(empty):
    assert "no version of the tables '0042'" in fails("db", "upgrade", "0042")


def test_current_says_what_to_do(empty):
    assert "no tables yet" in succeeds("db", "current")
    schema.upgrade(empty)
    assert f"up to date (version {LATEST})" in succeeds("db", "current")


def test_history_needs_no_database():
    assert succeeds("db", "history", DB_HOST="no.such.host").startswith("0001  The seven tables")


def test_downgrade_shows_what_would_be_lost_and_asks(filled):
    result = synfin("db", "downgrade", "base", answer="n\n")

    assert result.exit_code == 1
    assert "customers" in result.stdout
    assert "1 rows" in result.stdout
    assert "Nothing was changed." in result.stdout
    assert schema.current(filled) == LATEST


def test_downgrade_goes_back_on_confirmation(filled):
    assert f"downgraded from version {LATEST} to no tables" in succeeds(
        "db", "downgrade", "base", answer="y\n"
    )
    assert schema.current(filled) is None


def test_downgrade_without_an_answer_changes_nothing(filled):
    fails("db", "downgrade", "base", answer="")

    assert schema.current(filled) == LATEST


@pytest.mark.parametrize("arguments", [["-1", "--yes"], ["--yes", "-1"], ["--yes"]])
def test_downgrade_takes_a_step_back_as_argument(filled, arguments):
    succeeds("db", "downgrade", *arguments)

    assert schema.current(filled) == schema.known_versions()[-2]


def test_downgrade_of_an_empty_database_says_that_it_is(empty):
    assert "no tables yet" in succeeds("db", "downgrade", "base")


def test_downgrade_never_takes_a_mistyped_option_for_a_version(filled):
    assert "'--yess'" in fails("db", "downgrade", "--yess", answer="y\n")

    assert schema.current(filled) == LATEST


# -- Status -----------------------------------------------------------------------------------


def test_status_of_the_embedded_server_says_where_and_how_full(filled, server):
    output = succeeds("db", "status")

    assert repr(filled.config.database) in output
    assert str(embedded.status(filled.config.data_dir).data_dir) in output
    assert str(os.getpid()) in output  # this test uses it
    assert f"up to date (version {LATEST})" in output
    rows = {line.split()[0]: line.split()[1] for line in output.splitlines() if "rows" in line}
    assert rows["customers"] == "1"
    assert rows["transactions"] == "0"
    assert len(rows) == 7


def test_status_of_a_server_that_was_never_used_creates_nothing(open_folder):
    home = open_folder / "pg"

    output = succeeds("db", "status", DB_DATA_DIR=str(home))

    assert "it is created on first use" in output
    assert not home.exists()


def test_status_calls_the_rows_of_a_big_table_an_estimate(filled, monkeypatch):
    monkeypatch.setattr("synfin_analytics.cli.db._MAX_COUNTED_BYTES", 0)
    execute(filled, "ANALYZE customers")

    output = succeeds("db", "status")

    assert "about 1 rows" in output
    assert "about 0 rows" not in output


def test_status_of_a_server_names_it_without_the_password(tcp_server, monkeypatch):
    config = tcp_server.config()
    server = {
        "DB_HOST": config.host,
        "DB_PORT": str(config.port),
        "DB_USER": config.username,
        "DB_PASSWORD": config.password,
        "DB_NAME": config.database,
    }

    output = succeeds("db", "status", **server)

    assert f"{config.host}:{config.port}" in output
    assert config.username in output
    assert config.password not in output
    assert "no tables yet" in output


# -- Stop -------------------------------------------------------------------------------------


@pytest.fixture
def own_server(open_folder):
    """A server beside that of the other tests, in use by this process."""
    database_server = embedded.EmbeddedPostgres(open_folder / "pg")
    database_server.start()
    yield database_server
    database_server.release()
    embedded.stop(open_folder / "pg", force=True)


def test_stop_names_who_uses_the_server(own_server, open_folder):
    home = str(open_folder / "pg")

    assert str(os.getpid()) in fails("db", "stop", DB_DATA_DIR=home)
    assert embedded.status(home).running

    assert succeeds("db", "stop", "--force", DB_DATA_DIR=home) == "Stopped.\n"
    assert not embedded.status(home).running
    assert "is not running" in succeeds("db", "stop", DB_DATA_DIR=home)


def test_stop_leaves_a_server_alone_that_is_not_ours():
    assert "stops only the embedded server" in fails("db", "stop", DB_HOST="db.bank")


# -- Grants -----------------------------------------------------------------------------------


@pytest.fixture
def role(manager):
    """A name for a role, which is dropped afterwards; with all that SQL could trip over."""
    name = f"an%a \"l:y;st' é {uuid.uuid4().hex[:8]}"
    yield name
    quoted = sql.Identifier(name)
    with manager.engine.begin() as connection, connection.connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_roles WHERE rolname = %s", (name,))
        if cursor.fetchone()[0]:
            cursor.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(quoted))


@pytest.fixture
def as_role(filled, role):
    """Run a statement as the role."""

    def run(statement):
        with filled.engine.connect() as connection:
            driver = connection.connection.driver_connection
            try:
                with driver.cursor() as cursor:
                    cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
                    cursor.execute(statement)
                    return cursor.fetchall() if cursor.description else None
            finally:
                driver.rollback()  # the role as well

    return run


def test_granted_role_reads_all_but_personal_data(filled, role, as_role):
    output = succeeds("db", "grant", role)

    assert "New role" in output
    assert "Excluded from customers: first_name, last_name, email" in output
    assert as_role("SELECT customer_id, risk_score FROM customers") == [("C1", None)]
    assert as_role("SELECT count(*), avg(amount) FROM transactions") == [(0, None)]
    assert as_role("SELECT version_num FROM alembic_version") == [(LATEST,)]
    for table, column in HIDDEN:
        with pytest.raises(errors.InsufficientPrivilege):
            as_role(f"SELECT {column} FROM {table}")


def test_a_whole_table_that_is_refused_for_its_personal_data_says_what_to_do(filled, role):
    grant_read(filled, role)
    with filled.get_session() as session:
        session.execute(text("SELECT set_config('role', :role, true)"), {"role": role})

        with pytest.raises(QueryError, match=r"permission denied.*name the columns to read"):
            read_df("customers", session=session)
        assert read_df("SELECT customer_id FROM customers", session=session).shape == (1, 1)


@pytest.mark.parametrize(
    ("table", "read"),
    [
        ("customers", lambda session: read_df("SELECT count(*) FROM customers", session=session)),
        ("transactions", lambda session: TransactionRepository(session).get_statistics()),
        ("transactions", lambda session: TransactionRepository(session).count()),
        ("transactions", lambda session: TransactionRepository(session).list()),
        ("transactions", lambda session: TransactionRepository(session).fraud_rate()),
    ],
)
def test_a_role_that_may_read_nothing_learns_which_grant_it_needs(filled, role, table, read):
    with filled.get_session() as session:
        create = sql.SQL("CREATE ROLE {}").format(sql.Identifier(role))
        cursor = session.connection().connection.driver_connection.cursor()
        cursor.execute(create)
        session.execute(text("SELECT set_config('role', :role, true)"), {"role": role})

        with pytest.raises(QueryError) as caught:
            read(session)

    message = str(caught.value)
    assert f"`synfin db grant {shlex.quote(role)}`" in message
    assert f'GRANT SELECT ON {table} TO "{role.replace(chr(34), 2 * chr(34))}"' in message


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO customers (customer_id) VALUES ('C2')",
        "UPDATE customers SET city = 'Lyon'",
        "DELETE FROM customers",
        "TRUNCATE fraud_patterns",
        "SELECT nextval('fraud_patterns_id_seq')",
        "CREATE TABLE mine (a int)",
        "DROP TABLE fraud_patterns",
    ],
)
def test_granted_role_changes_nothing(filled, role, as_role, statement):
    grant_read(filled, role, personal_data=True)

    with pytest.raises(errors.InsufficientPrivilege):
        as_role(statement)


def test_granted_role_passes_the_check_of_the_version(filled, role, server):
    grant_read(filled, role)
    arguments = server.connect_arguments(filled.config.database)

    def connect():
        connection = psycopg2.connect(**arguments)
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        connection.commit()
        return connection

    engine = create_engine("postgresql+psycopg2://", creator=connect)
    schema.require_current(engine)
    engine.dispose()


def test_personal_data_are_granted_on_request_and_tables_to_come_too(filled, role, as_role):
    output = succeeds("db", "grant", role, "--with-personal-data")

    assert "Excluded from" not in output
    assert as_role("SELECT * FROM customers")[0][0] == "C1"
    execute(filled, "CREATE TABLE later AS SELECT 1 AS one")
    assert as_role("SELECT * FROM later") == [(1,)]


def test_a_narrower_grant_takes_back_what_a_wider_one_gave(filled, role, as_role):
    grant_read(filled, role, personal_data=True)

    result = grant_read(filled, role)

    assert not result.created
    assert [warning for warning in result.warnings if "tables;" not in warning] == [
        warning for warning in result.warnings if "large objects" in warning
    ]
    with pytest.raises(errors.InsufficientPrivilege):
        as_role("SELECT email FROM customers")
    execute(filled, "CREATE TABLE later AS SELECT 1 AS one")
    with pytest.raises(errors.InsufficientPrivilege):
        as_role("SELECT * FROM later")


def test_rights_from_elsewhere_are_warned_of(filled, role):
    execute(filled, "GRANT SELECT, DELETE ON customers TO PUBLIC")
    execute(filled, "GRANT CREATE ON SCHEMA public TO PUBLIC")

    output = synfin("db", "grant", role).stderr

    execute(filled, "REVOKE ALL ON customers FROM PUBLIC")
    execute(filled, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")

    assert "can also change customers." in output
    assert "can also read customers.first_name" in output
    assert "REVOKE CREATE ON SCHEMA public FROM PUBLIC" in output


def test_temporary_tables_and_large_objects_are_warned_of_until_they_are_revoked(filled, role):
    [temporary, large] = grant_read(filled, role).warnings

    assert "can also create temporary tables" in temporary
    assert "can also store large objects" in large
    for warning in (temporary, large):
        execute(filled, warning.partition(": ")[2])
    assert grant_read(filled, role).warnings == ()
    execute(filled, f"GRANT TEMPORARY ON DATABASE {filled.config.database} TO PUBLIC")
    execute(
        filled,
        "GRANT EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) "
        "TO PUBLIC",
    )


@pytest.mark.parametrize(
    ("strength", "words"),
    [
        ("ALTER ROLE {role} BYPASSRLS CREATEROLE", "BYPASSRLS, CREATEROLE"),
        ("ALTER ROLE {role} CREATEDB REPLICATION", "CREATEDB, REPLICATION"),
        (
            "GRANT pg_read_all_data, pg_write_all_data TO {role}",
            "pg_read_all_data, pg_write_all_data",
        ),
        ("GRANT pg_read_server_files TO {role}", "pg_read_server_files"),
        ("GRANT pg_execute_server_program TO {role}", "pg_execute_server_program"),
        ("GRANT {owner} TO {role}", "roles that can do more than read: {owner}"),
    ],
)
def test_strong_roles_are_warned_of(filled, role, strength, words):
    grant_read(filled, role)
    with filled.engine.connect() as connection:
        owner = connection.execute(text("SELECT current_user")).scalar_one()
    execute(filled, strength.format(owner=owner, role='"' + role.replace('"', '""') + '"'))

    assert any(
        words.format(owner=owner) in warning for warning in grant_read(filled, role).warnings
    )


def test_role_without_login_cannot_log_in(filled, role):
    grant_read(filled, role)

    assert rights(filled, role) == (False, None)


def rights(manager, role):
    query = text("SELECT rolcanlogin, rolpassword FROM pg_authid WHERE rolname = :role")
    with manager.engine.connect() as connection:
        return tuple(connection.execute(query, {"role": role}).one())


@pytest.mark.parametrize("prompted", [True, False])
def test_login_sets_a_password_of_which_the_server_sees_the_hash(filled, role, prompted):
    if prompted:
        result = synfin("db", "grant", role, "--login", answer="s3cret\ns3cret\n")
    else:
        result = synfin("db", "grant", role, "--login", "--password-env", "ANA", ANA="s3cret")

    assert result.exit_code == 0, result.output
    assert "s3cret" not in result.output
    can_log_in, stored = rights(filled, role)
    assert can_log_in
    assert stored.startswith("SCRAM-SHA-256$")


def test_login_really_works_with_that_password(tcp_server):
    owner = DatabaseManager(tcp_server.config())
    schema.upgrade(owner)
    grant_read(owner, "ana", password="p%s'ä\\")

    analyst = DatabaseManager(tcp_server.config(username="ana", password="p%s'ä\\"))
    with analyst.engine.connect() as connection:
        assert connection.execute(text("SELECT count(amount) FROM transactions")).scalar_one() == 0
    analyst.close()
    schema.downgrade(owner, "base")
    with owner.engine.begin() as connection:
        connection.execute(text("DROP OWNED BY ana; DROP ROLE ana"))
    owner.close()


def test_missing_variable_of_the_password_is_named(filled, role):
    assert "ANAS_PASSWORD" in fails(
        "db", "grant", role, "--login", "--password-env", "ANAS_PASSWORD"
    )
    with pytest.raises(ArgumentError, match="empty"):
        grant_read(filled, role, password="")


@pytest.mark.parametrize("name", ["", " ", "public", "none", "pg_monitor", "é" * 32, "a\0b"])
def test_a_name_that_no_role_can_have_is_refused(filled, name):
    with pytest.raises(ArgumentError):
        grant_read(filled, name)


def test_a_role_that_owns_the_tables_is_refused(filled):
    with filled.engine.connect() as connection:
        owner = connection.execute(text("SELECT current_user")).scalar_one()

    assert "superuser or the owner of the tables" in fails("db", "grant", owner)


@pytest.mark.parametrize(
    ("readable", "message"),
    [
        ("alembic_version", "permission denied"),
        # Who has a right, but not that of passing it on, gets a mere warning from the server.
        ("ALL TABLES IN SCHEMA public", "cannot grant all of this"),
    ],
)
def test_a_user_who_may_not_grant_gets_an_error_and_nothing_changes(
    filled, role, server, readable, message
):
    grantor = f"grantor_{filled.config.database}"
    with filled.engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {grantor} CREATEROLE"))
        connection.execute(text(f"GRANT SELECT ON {readable} TO {grantor}"))
    arguments = server.connect_arguments(filled.config.database)
    engine = create_engine(
        "postgresql+psycopg2://",
        creator=lambda: psycopg2.connect(**arguments, options=f"-c role={grantor}"),
    )

    with pytest.raises(SchemaError, match=message):
        grant_read(engine, role)

    engine.dispose()
    with filled.engine.begin() as connection:
        query = text("SELECT count(*) FROM pg_roles WHERE rolname = :role")
        assert connection.execute(query, {"role": role}).scalar_one() == 0
        connection.execute(text(f"DROP OWNED BY {grantor}; DROP ROLE {grantor}"))


def test_quoted_schemas_are_granted_on_too(role, empty):
    with empty.engine.begin() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(text('CREATE SCHEMA "fraud %s data"'))
        connection.execute(text(f'ALTER DATABASE "{name}" SET search_path = "fraud %s data"'))
    empty.close()
    schema.upgrade(empty)

    assert grant_read(empty, role).created

    with empty.engine.connect() as connection:
        query = text("SELECT has_table_privilege(:role, 'merchants', 'SELECT')")
        assert connection.execute(query, {"role": role}).scalar_one()
