"""Named environments: sections of synfin.toml, overridden by variables."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import string
import sys

import pytest
import servers
from documentation import blocks, code, page
from hypothesis import given
from hypothesis import strategies as st
from tracebacks import local_variables

from synfin_analytics.database import _password_reference
from synfin_analytics.database._environment_files import FILE_NAME, PASSWORD_COMMAND
from synfin_analytics.database._settings import VARIABLES
from synfin_analytics.database.config import DatabaseConfig, find_protection
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.exceptions import ConfigurationError, DatabaseConnectionError

PRODUCTION = """\
[production]
host = "db.bank"
port = 5433
database = "fraud"
username = "ana"
protected = true
"""
STAGING = """\
[staging]
host = "test.bank"
"""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """The current folder is that of a project in a repository, and the user has a folder too."""
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    return folder


@pytest.fixture
def user_folder(tmp_path):
    folder = tmp_path / "user" / "synfin_analytics"
    folder.mkdir(parents=True)
    return folder


def write(folder, text):
    file = folder / FILE_NAME
    file.write_text(text, encoding="utf-8")
    return file


def config_of(environment=None, **variables):
    return DatabaseConfig.from_env(environment, environ=variables)


URL = "postgresql://ana:s3cret@db.bank/fraud"


def refusal(environment="production", **variables):
    with pytest.raises(ConfigurationError) as caught:
        config_of(environment, **variables)
    assert "s3cr3t" not in str(caught.value)
    assert "s3cr3t" not in local_variables(caught.value)
    return str(caught.value)


# -- Which section ----------------------------------------------------------------------------


def test_a_name_selects_a_section(project):
    write(project, PRODUCTION + STAGING)

    assert config_of("production") == DatabaseConfig(
        host="db.bank",
        port=5433,
        database="fraud",
        username="ana",
        environment="production",
        protected=True,
    )
    assert config_of(DB_ENV="staging") == DatabaseConfig(host="test.bank", environment="staging")


def test_an_argument_overrides_the_variable(project):
    write(project, PRODUCTION + STAGING)

    assert config_of("staging", DB_ENV="production").environment == "staging"


@pytest.mark.parametrize("name", ["", "  "])
def test_an_empty_variable_selects_no_environment(project, name):
    write(project, PRODUCTION)

    assert config_of(DB_ENV=name) == DatabaseConfig()


@pytest.mark.parametrize("name", ["", " ", 5])
def test_an_empty_argument_is_refused(name):
    assert "environment must be the name of an environment" in refusal(name)


@pytest.mark.parametrize("variables", [URL, {"DATABASE_URL": URL}], ids=["url", "dict"])
def test_an_argument_with_a_password_is_not_repeated(variables):
    message = refusal(variables)
    assert "environment must be the name of an environment; got a" in message
    assert "s3cret" not in message


def test_a_variable_with_a_url_is_not_repeated():
    with pytest.raises(ConfigurationError, match="got a URL") as error:
        config_of(DB_ENV=URL)
    assert "s3cret" not in str(error.value)


def test_a_parent_folder_of_the_repository_is_searched(project, monkeypatch):
    write(project, PRODUCTION)
    (project / "notebooks" / "old").mkdir(parents=True)
    monkeypatch.chdir(project / "notebooks" / "old")

    assert config_of("production").host == "db.bank"


def test_no_folder_above_the_repository_is_searched(project):
    write(project.parent, PRODUCTION)

    assert "There is no environment 'production'" in refusal()


def test_without_a_repository_parents_are_searched_up_to_the_home_folder(tmp_path, monkeypatch):
    folder = tmp_path / "home" / "work" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    write(tmp_path, STAGING)
    write(folder.parent, PRODUCTION)

    assert "There is no environment" in refusal()  # parents outside of the home folder

    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    assert config_of("production").host == "db.bank"
    assert "There is no environment 'staging'" in refusal("staging")


def test_a_deleted_current_folder_is_no_error(tmp_path, monkeypatch, user_folder):
    write(user_folder, STAGING)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert config_of("staging").host == "test.bank"


def test_the_section_of_the_project_replaces_that_of_the_user(project, user_folder):
    write(project, STAGING)
    write(user_folder, '[staging]\nhost = "other.bank"\nport = 1\n[mine]\nhost = "localhost"\n')

    assert config_of("staging") == DatabaseConfig(host="test.bank", environment="staging")
    assert config_of("mine").host == "localhost"


def test_either_file_can_protect_an_environment(project, user_folder):
    write(project, STAGING)
    write(user_folder, '[staging]\nhost = "test.bank"\nprotected = true\n')

    assert config_of("staging").protected


# -- What a section sets ----------------------------------------------------------------------

#: A value of each setting that a section may have.
VALUES = {
    "host": '"db.bank"',
    "port": "5433",
    "database": '"fraud"',
    "username": '"ana"',
    "pool_size": "3",
    "max_overflow": "4",
    "pool_timeout": "5",
    "pool_recycle": "6",
    "echo": "true",
    "sslmode": '"require"',
    "sslrootcert": '"system"',
    "slow_query_ms": "7",
    "data_dir": '"/srv/data"',
}


def test_every_setting_can_be_in_a_section(project):
    write(project, "[x]\n" + "\n".join(f"{name} = {value}" for name, value in VALUES.items()))

    config = config_of("x")

    assert {name: getattr(config, name) for name in VALUES} == {
        "host": "db.bank",
        "port": 5433,
        "database": "fraud",
        "username": "ana",
        "pool_size": 3,
        "max_overflow": 4,
        "pool_timeout": 5,
        "pool_recycle": 6,
        "echo": True,
        "sslmode": "require",
        "sslrootcert": "system",
        "slow_query_ms": 7,
        "data_dir": "/srv/data",
    }


@pytest.mark.parametrize("name", [name for name in VARIABLES if name != "password"])
def test_a_section_accepts_the_name_of_every_setting(project, name):
    write(project, f"[x]\n{name} = [1]")

    assert f"{name} in [x] of {project / FILE_NAME}, line 2" in refusal("x")


def test_a_list_of_servers_can_be_an_array(project):
    write(project, '[x]\nhost = ["db1", "db2:5433"]\nreplica_hosts = ["db3"]')

    config = config_of("x")

    assert (config.host, config.replica_hosts) == ("db1,db2:5433", "db3")


def test_a_url_sets_the_whole_address_and_options(project):
    write(
        project,
        '[x]\nurl = "postgresql://ana@db.bank:5433/fraud?sslmode=require&connect_timeout=5"\n'
        "options = {keepalives_idle = 9}",
    )

    config = config_of("x")

    assert (config.host, config.port, config.database) == ("db.bank", 5433, "fraud")
    assert (config.username, config.sslmode) == ("ana", "require")
    assert config.options == {"connect_timeout": "5", "keepalives_idle": "9"}


def test_relative_paths_begin_at_the_folder_of_the_file(project, monkeypatch):
    write(project, '[x]\ndata_dir = "pg"\n[y]\nhost = "h"\noptions = {sslkey = "my.key"}')
    (project / "sub").mkdir()
    monkeypatch.chdir(project / "sub")

    assert config_of("x").data_dir == str(project / "pg")
    assert config_of("y").options == {"sslkey": str(project / "my.key")}


# -- Variables override it --------------------------------------------------------------------


def test_variables_override_a_section(project):
    write(project, PRODUCTION)

    config = config_of("production", DB_NAME="other", DB_POOL_SIZE="3", DB_USER="eva")

    assert (config.host, config.port) == ("db.bank", 5433)
    assert (config.database, config.pool_size, config.username) == ("other", 3, "eva")


def test_a_url_in_the_environment_replaces_the_whole_address(project):
    write(project, PRODUCTION + 'sslmode = "verify-full"\nsslrootcert = "system"\n')

    config = config_of("production", DATABASE_URL="postgresql://eva@other.bank/fraud")

    assert (config.host, config.port, config.username) == ("other.bank", 5432, "eva")
    assert config.sslmode == "verify-full"


def test_a_protected_environment_remains_protected_on_another_server(project):
    write(project, PRODUCTION)

    for variables in (
        {"DB_HOST": "localhost"},
        {"DB_NAME": "other"},
        {"DATABASE_URL": "postgresql://localhost/mine"},
    ):
        assert config_of("production", **variables).protected, variables


@pytest.mark.parametrize(
    "variables",
    [
        {"DB_ENV": "staging", "DB_HOST": "DB.bank.", "DB_PORT": "5433", "DB_NAME": "fraud"},
        {"DB_HOST": "db.bank", "DB_PORT": "5433", "DB_NAME": "fraud", "DB_USER": "root"},
        {"DATABASE_URL": "postgresql://db.bank:5433/fraud"},
        {"DB_HOST": "db0,db.bank", "DB_PORT": "5433", "DB_NAME": "fraud"},
    ],
)
def test_the_database_of_a_protected_environment_is_protected_in_any_case(project, variables):
    write(project, PRODUCTION + STAGING)

    assert config_of(**variables).protected


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"DB_ENV": "staging"},
        {"DB_HOST": "db.bank", "DB_PORT": "5433", "DB_NAME": "test"},
        {"DB_HOST": "db.bank", "DB_PORT": "5432", "DB_NAME": "fraud"},
    ],
)
def test_other_databases_are_not_protected(project, variables):
    write(project, PRODUCTION + STAGING)

    assert not config_of(**variables).protected


def test_a_database_of_the_embedded_server_can_be_protected(project):
    write(project, '[kept]\ndata_dir = "pg"\ndatabase = "fraud"\nprotected = true')

    assert find_protection(DatabaseConfig(data_dir=project / "pg", database="fraud"))
    assert not find_protection(DatabaseConfig(data_dir=project / "pg"))
    assert not find_protection(DatabaseConfig(database="fraud"))


def test_a_configuration_from_code_is_protected_by_its_address(project):
    write(project, PRODUCTION)

    protection = find_protection(DatabaseConfig(host="db.bank", port=5433, database="fraud"))

    assert protection == f"[production] of {project / FILE_NAME}"


def test_replicas_and_password_of_a_section_do_not_follow_to_another_server(project):
    write(
        project,
        '[x]\nhost = "db.bank"\nreplica_hosts = "db2"\npassword_command = ["echo", "s3cr3t"]',
    )

    assert config_of("x").password == "s3cr3t"
    assert config_of("x").replica_hosts == "db2"
    moved = config_of("x", DB_HOST="other.bank")
    assert (moved.password, moved.replica_hosts) == (None, None)


def test_replicas_of_variables_replace_those_of_a_section(project):
    write(project, '[x]\nhost = "db.bank"\nreplica_hosts = "db2"')

    config = config_of("x", DB_REPLICA_URL="postgresql://db3/synfinance")

    assert (config.replica_hosts, config.replica_url) == (None, "postgresql://db3/synfinance")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('host = "db"\nreplica_url = "mysql://db2/x"', "{replica_url}, line 3 must begin with one"),
        ('host = "db"\nreplica_url = "postgresql://db2/x"', "{replica_url}, line 3 must name the"),
        ('replica_hosts = "db2"', "or remove {replica_hosts}, line 2."),
        ('host = "db"\nreplica_hosts = ["db2:x"]', "{replica_hosts}, line 3 must be names or add"),
        (
            'host = "db"\nreplica_hosts = "db2"\nreplica_url = "postgresql://db2/synfinance"',
            "{replica_hosts}, line 3 and {replica_url}, line 4 are both set",
        ),
    ],
)
def test_a_message_about_replicas_of_a_section_names_key_file_and_line(project, lines, message):
    file = write(project, f"[x]\n{lines}")
    places = {key: f"{key} in [x] of {file}" for key in ("replica_hosts", "replica_url")}

    with pytest.raises(ConfigurationError) as caught:
        config_of("x")

    assert message.format(**places) in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "advice"),
    [
        ('host = "127.0.0.1"\nport = {port}', "check host in {place}, line 2 and port in {place}"),
        ('url = "postgresql://127.0.0.1:{port}/x"', "check url in {place}, line 2, and that the"),
    ],
)
def test_advice_about_a_connection_names_the_settings_of_a_section(project, lines, advice):
    file = write(project, f"[x]\n{lines.format(port=servers.free_port())}")
    manager = DatabaseManager(config_of("x"))

    with pytest.raises(DatabaseConnectionError) as caught:
        manager.engine.connect()

    assert advice.format(place=f"[x] of {file}") in str(caught.value)


hosts = st.sampled_from([None, "db.bank", "other.bank"])
names = st.sampled_from([None, "fraud", "other"])


@given(host=hosts, name=names, selected=st.sampled_from([None, "production", "staging"]))
def test_no_combination_of_variables_loses_the_protection(tmp_path_factory, host, name, selected):
    folder = tmp_path_factory.getbasetemp()
    write(folder, PRODUCTION.replace("port = 5433\n", "") + STAGING)
    variables = {"DB_ENV": selected, "DB_HOST": host, "DB_NAME": name}
    with contextlib.chdir(folder):
        config = config_of(**{key: value for key, value in variables.items() if value})

    is_production = (config.host, config.database) == ("db.bank", "fraud")
    assert config.protected == (selected == "production" or is_production)


# -- Passwords by reference -------------------------------------------------------------------


def test_a_password_can_come_from_a_variable(project):
    write(project, PRODUCTION + 'password_variable = "BANK"')

    assert config_of("production", BANK=" s3cr3t ").password == " s3cr3t "


def test_a_password_can_come_from_a_command_and_is_its_first_line(project):
    program = "print('s3cr3t \\nuser: ana')"
    words = ", ".join(repr(word) for word in (sys.executable, "-c", program))
    write(project, PRODUCTION + f"password_command = [{words}]".replace("\\n", "\\x0a"))

    assert config_of("production").password == "s3cr3t "


def test_no_shell_reads_a_command(project):
    write(project, PRODUCTION + "password_command = ['echo', '$HOME; echo `id`']")

    assert config_of("production").password == "$HOME; echo `id`"


def test_a_program_of_the_project_begins_at_the_folder_of_the_file(project, monkeypatch):
    write(project, PRODUCTION + "password_command = ['./password']")
    (project / "password").write_text("#!/bin/sh\necho s3cr3t\n")
    (project / "password").chmod(0o700)
    (project / "sub").mkdir()
    monkeypatch.chdir(project / "sub")

    assert config_of("production").password == "s3cr3t"


def test_a_password_in_a_variable_of_ours_comes_first(project, tmp_path):
    mark = tmp_path / "it ran"
    write(project, PRODUCTION + f"password_command = ['touch', '{mark}']")

    assert config_of("production", DB_PASSWORD="other").password == "other"
    assert not mark.exists()


def test_a_search_for_protected_databases_runs_no_command(project, tmp_path):
    mark = tmp_path / "it ran"
    write(project, PRODUCTION + f"password_command = ['touch', '{mark}']")

    assert find_protection(config_of(DB_HOST="db.bank", DB_PORT="5433", DB_NAME="fraud"))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ('password_variable = "BANK"', "line 7 names an environment variable that is not set"),
        ('password_variable = "s3cr3t!"', "must be the name of an environment variable"),
        ("password_variable = 5", "must be the name of an environment variable"),
        ('password_command = "echo s3cr3t"', "line 7 must be a list of words, such as"),
        ("password_command = []", "must be a list of words"),
        ('password_command = [""]', "must be a list of words"),
        ('password_command = ["echo", 5]', "must be a list of words"),
        ('password_command = ["no-such-program", "s3cr3t"]', "names a program that does not exist"),
        ('password_command = ["sh", "-c", "echo s3cr3t; exit 3"]', "failed with exit status 3"),
        ('password_command = ["true", "s3cr3t"]', "printed no password"),
        ("password_command = [\"printf\", 's3cr3t\\377']", "printed a password that is not UTF-8"),
        ('password_command = ["yes", "s3cr3t"]', "printed more than a password"),
        (
            'password_command = ["echo"]\npassword_variable = "BANK"',
            "password_variable is set too. Keep one of them",
        ),
    ],
)
def test_a_wrong_reference_is_one_sentence_without_its_words(project, reference, message):
    write(project, PRODUCTION + reference)

    assert message in refusal()


@pytest.mark.parametrize(
    "command",
    [
        ["sleep", "1000"],
        ["sh", "-c", "sleep 3 & echo s3cr3t"],  # a child keeps the output open
        ["sh", "-c", "exec >&-; exec sleep 1000"],  # the output is closed, and nothing ends
    ],
)
def test_a_command_that_hangs_is_stopped(project, monkeypatch, command):
    monkeypatch.setattr(_password_reference, "PATIENCE", 0.3)
    write(project, PRODUCTION + f"{PASSWORD_COMMAND} = {command!r}")

    assert "did not end within 0.3 s" in refusal()


def test_a_file_that_others_can_change_runs_no_command(project, tmp_path):
    mark = tmp_path / "it ran"
    file = write(project, PRODUCTION + f"password_command = ['touch', '{mark}']")
    file.chmod(0o666)

    assert "is not run, because another user can change the file" in refusal()
    assert not mark.exists()


def test_a_file_that_others_can_read_is_fine(project):
    write(project, PRODUCTION + "password_command = ['echo', 's3cr3t']").chmod(0o644)

    assert config_of("production").password == "s3cr3t"


# -- Bad files --------------------------------------------------------------------------------


def test_without_a_file_the_message_says_where_it_is_searched(project, tmp_path):
    message = refusal()

    assert f"no synfin.toml in {project} and {tmp_path / 'user'}" in message
    assert "Create it with a section [production]" in message


def test_an_unknown_environment_has_a_hint(project):
    write(project, PRODUCTION + STAGING)

    assert "Did you mean 'production'?" in refusal("prodution")
    assert "Available: production, staging." in refusal("x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x", "synfin.toml is not valid TOML: Expected ']'"),
        ('[x]\nhost = "a\n', "(at line 2, column 10)"),
        ("[x]\n[y]\n[x]\n", "line 3, has a second section [x]. Keep one."),
        ("[x]\nhost = 'a'\nhost = 'b'\n", "(at line 3"),
        ("[x]\nport = " + "9" * 5000, "is not valid TOML"),
        ("host = 's3cr3t'", "host in {file}, line 1 must be in the section of an environment"),
        ("[[x]]\nhost = 's3cr3t'", "x in {file} must be in the section of an environment"),
        ("[x]\nhots = 's3cr3t'", "no setting 'hots' in [x] of {file}, line 2. Did you mean host?"),
        ("[x]\n# port\nvelocity = 's3cr3t'", "line 3. Available: host, port"),
        ("[x]\nprotcted = true", "Did you mean protected?"),
        ("[x.y]\nhost = 's3cr3t'", "There is no setting 'y' in [x]"),
        ("[x]\nprotected = 'true'", "line 2 must be true or false, without quotes."),
        ("[x]\nprotected = 1", "must be true or false, without quotes."),
        ("[x]\nport = '5432'", "line 2 must be a whole number from 1 to 65535; got '5432'."),
        ("[x]\nport = 0", "must be a whole number from 1 to 65535; got 0."),
        ("[x]\nport = 5432.0", "must be a whole number"),
        ("[x]\nport = [5432]", "must be a whole number"),
        ("[x]\nhost = 5", "host in [x] of {file}, line 2 must be a text in quotes; got 5."),
        ("[x]\nhost = true", "must be a text in quotes; got True."),
        ("[x]\nhost = {a = 's3cr3t'}", "must be a text in quotes; got a dict."),
        ("[x]\nhost = []", "must be a list of names."),
        ("[x]\nhost = ''", "must not be empty. Remove the line."),
        ("[x]\nhost = 'postgresql://db.bank'", "must be a name; got a URL"),
        ("[x]\necho = 'yes'", "must be True or False"),
        ("[x]\nhost = 'a'\nsslmode = 'on'", "line 3 must be one of disable, allow"),
        ("[x]\nsslrootcert = 'no.pem'", "must be an existing file"),
        ("[x]\nurl = 5", "url in [x] of {file}, line 2 must be a text in quotes."),
        ("[x]\nurl = 'mysql://db.bank'", "must begin with one of postgresql://"),
        ("[x]\nurl = 'postgresql://db.bank:x/f'", "must have a host and a port that can be read"),
        ("[x]\nurl = 'postgresql://db.bank:0/f'", "line 2: port must be a whole number"),
        ("[x]\nurl = 'postgresql://a/f'\nhost = 'a'", "host in [x] of {file}, line 3 is set, but"),
        ("[x]\nurl = 'postgresql://a/f?sslmode=require'\nsslmode = 'allow'", "url sets it too"),
        ("[x]\nhost = 'a'\noptions = 's3cr3t'", "options in [x] of {file}, line 3 must be a table"),
        ("[x]\nhost = 'a'\noptions = {connect_timout = 5}", "Did you mean connect_timeout?"),
        ("[x]\nhost = 'a'\n[x.options]\nconnect_timeout = true", "must be a text or a whole"),
        ("[x]\nport = 5432", "line 2 is set, but [x] of {file} has neither host nor url"),
        ("[x]\npassword_variable = 'A'", "the embedded server does not use it. Set the host"),
        ("[x]\npassword = 's3cr3t'", "line 2: the file must not contain a password. Store it in"),
        ("[x]\nDB_PASSWORD = 's3cr3t'", "the file must not contain a password"),
        ("[x]\npwd = {a = ['s3cr3t']}", "the file must not contain a password"),
        ("[x]\nurl = 'postgresql://ana:s3cr3t@a/f'", "line 2 must not contain a password"),
        ("[x]\nurl = 'postgresql://a/f?password=s3cr3t'", "must not contain a password"),
        ("[x]\nhost = 'postgresql://ana:s3cr3t@a/f'", "must not contain a password"),
        ("[x]\nreplica_url = 'postgresql://ana:s3cr3t@a/f'", "must not contain a password"),
        ("[x]\nhost = 'a'\noptions = {password = 's3cr3t'}", "must not contain a password"),
        ("[x]\npasword = 's3cr3t'", "There is no setting 'pasword'"),
    ],
)
def test_a_bad_file_is_one_message_with_the_place(project, text, message):
    file = write(project, text)

    assert message.replace("{file}", str(file)) in refusal("x")


def test_a_file_must_be_utf8(project):
    (project / FILE_NAME).write_bytes(b'[x]\nhost = "s3cr3t\xff"')

    assert "synfin.toml must be a text file in UTF-8." in refusal("x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read every file")
def test_an_unreadable_file_is_named(project):
    write(project, PRODUCTION).chmod(0o000)

    assert f"Cannot read {project / FILE_NAME}: Permission denied." in refusal()


def test_a_folder_with_the_name_of_the_file_is_no_file(project):
    (project / FILE_NAME).mkdir()

    assert config_of() == DatabaseConfig()


@pytest.mark.parametrize("text", ["[x", "[x]\nprotcted = true", "[x]\npassword = 's3cr3t'"])
def test_a_bad_file_is_an_error_without_an_environment_too(project, text):
    """Otherwise a mistake in it would lose the protection of a database."""
    write(project, text)

    assert "synfin.toml" in refusal(None)


@given(st.text(max_size=60))
def test_any_text_is_a_section_or_one_of_our_errors(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    (folder / FILE_NAME).write_text(text, encoding="utf-8", errors="replace")
    with contextlib.chdir(folder), contextlib.suppress(ConfigurationError):
        config_of("x")


some_password = st.text(st.sampled_from(string.ascii_letters + "@:/?#%$ "), min_size=4)


@given(
    password=some_password, key=st.sampled_from(["password", "passwd", "url", "host", "pasword"])
)
def test_no_message_repeats_a_password_in_the_file(tmp_path_factory, password, key):
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    value = (
        f"postgresql://ana:<{password}>@db.bank/x" if key in {"url", "host"} else f"<{password}>"
    )
    (folder / FILE_NAME).write_text(f"[x]\n{key} = '{value}'", encoding="utf-8")
    with contextlib.chdir(folder), pytest.raises(ConfigurationError) as caught:
        config_of("x")

    assert f"<{password}>" not in str(caught.value)
    assert f"<{password}>" not in local_variables(caught.value)


# -- The page of the guide --------------------------------------------------------------------


def test_the_example_of_the_guide(project, monkeypatch, capsys):
    text = page("guide/environments")
    write(project, blocks(text, "toml")[0])
    monkeypatch.setenv("BANK_PASSWORD", "s3cr3t")

    exec(compile(code(text), "environments.md", "exec"), {})

    assert capsys.readouterr().out.splitlines() == [
        line.partition("#")[2].strip() for line in code(text).splitlines() if "print(" in line
    ]


# -- Other processes --------------------------------------------------------------------------


def test_a_configuration_takes_its_environment_along(project):
    write(project, PRODUCTION + "password_command = ['echo', 's3cr3t']")
    config = config_of("production")

    copy = pickle.loads(pickle.dumps(config))

    assert copy == config
    assert (copy.environment, copy.protected, copy.password) == ("production", True, "s3cr3t")
    assert "s3cr3t" not in repr(copy)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_in_another_folder_has_the_same_configuration(project, monkeypatch, method):
    write(project, PRODUCTION)
    config = config_of("production")
    monkeypatch.chdir("/")

    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.apply(find_protection, [config]) == "its environment"


def test_names_in_messages_and_repr(project):
    write(project, PRODUCTION)
    config = config_of("production")

    assert (
        config.place == "database 'fraud' on db.bank:5433 as user 'ana' (environment 'production')"
    )
    assert "environment='production', protected=True" in repr(config)
