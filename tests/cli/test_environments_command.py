"""``synfin --env``, ``--confirm``, and what ``synfin db status`` says about an environment."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from click.testing import CliRunner

from synfin_analytics.cli import main
from synfin_analytics.database import schema

COMMAND = [sys.executable, "-c", "from synfin_analytics.cli import main; main()"]


@pytest.fixture
def project(tmp_path, monkeypatch, manager):
    """A project with a protected and another environment, both of a database with tables."""
    (tmp_path / "synfin.toml").write_text("[production]\nprotected = true\n[dev]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def synfin(*arguments, answer=None):
    return CliRunner().invoke(main, list(arguments), input=answer, prog_name="synfin")


def succeeds(*arguments, **options):
    result = synfin(*arguments, **options)
    assert result.exit_code == 0, result.output
    return result.stdout


def fails(*arguments, code=1, **options):
    result = synfin(*arguments, **options)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.stderr


def test_status_names_environment_file_and_protection(project, monkeypatch):
    lines = succeeds("--env", "production", "db", "status").splitlines()

    assert lines[0] == f"Settings   environment 'production' of {project / 'synfin.toml'}"
    assert lines[1].startswith("Protected  yes, by ")

    monkeypatch.setenv("DB_ENV", "dev")
    assert "environment 'dev'" in succeeds("db", "status")


def test_status_without_an_environment_is_as_before(manager):
    assert succeeds("db", "status").startswith("Database   ")


def test_the_option_overrides_the_variable_and_ends_with_the_command(project, monkeypatch):
    monkeypatch.setenv("DB_ENV", "no such environment")

    succeeds("--env", "dev", "db", "current")

    assert os.environ["DB_ENV"] == "no such environment"
    monkeypatch.delenv("DB_ENV")
    succeeds("--env", "dev", "db", "current")
    assert "DB_ENV" not in os.environ


def test_an_unknown_environment_is_one_line(project):
    assert "Did you mean 'production'?" in fails("--env", "prodution", "db", "status")


def test_an_empty_environment_is_refused(project):
    assert "must be the name of an environment" in fails("--env", "", "db", "status", code=2)


@pytest.mark.parametrize("arguments", [[], ["--yes"], ["--confirm", "other"]])
def test_a_script_cannot_downgrade_a_protected_database_without_its_name(
    project, manager, arguments
):
    error = fails("--env", "production", "db", "downgrade", "base", *arguments, answer="y\n")

    assert f"--confirm {manager.config.database}" in error
    assert schema.check_version(manager).state == "current"


def test_a_script_confirms_with_the_name(project, manager):
    name = manager.config.database

    succeeds("--env", "production", "db", "downgrade", "base", "--confirm", name)

    assert schema.current(manager) is None


def test_another_database_asks_as_before(project, manager):
    fails("--env", "dev", "db", "downgrade", "base", answer="n\n")
    assert "must be the name" in fails("--env", "dev", "db", "downgrade", "--confirm", "other")
    assert schema.check_version(manager).state == "current"

    succeeds("--env", "dev", "db", "downgrade", "base", "--yes")

    assert schema.current(manager) is None


@pytest.mark.parametrize("typed", ["other", None])
def test_a_terminal_asks_for_the_name(project, manager, typed):
    controller, terminal = pty.openpty()
    os.write(controller, f"{typed or manager.config.database}\n".encode())

    result = subprocess.run(
        [*COMMAND, "--env", "production", "db", "downgrade", "base", "--yes"],
        stdin=terminal, capture_output=True, text=True, check=False,
    )  # fmt: skip

    os.close(controller)
    os.close(terminal)
    assert "type the name of the database" in result.stderr
    assert result.returncode == (0 if typed is None else 1), result.stderr
    assert (schema.current(manager) is None) == (typed is None)


def test_a_notebook_of_a_class_sees_no_environment(monkeypatch):
    from synfin_analytics.course._sandbox import clean_environment

    monkeypatch.setenv("DB_ENV", "production")
    monkeypatch.setenv("BANK_PASSWORD", "s3cr3t")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/teacher/.config")

    assert not {"DB_ENV", "BANK_PASSWORD", "XDG_CONFIG_HOME", "HOME"} & set(clean_environment())
