"""Servers for tests: PostgreSQL on a TCP port, with a password or TLS; and programs and users."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from synfin_analytics.database._settings import VARIABLES
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.embedded._binaries import readable_binaries, server_binaries
from synfin_analytics.database.embedded._cluster import server_environment
from synfin_analytics.database.embedded._owner import ServerUser, program_copies, server_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Debian's PostgreSQL: the wheel of the embedded server has no pg_basebackup.
DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_basebackup"))
NO_STANDBY = "there is no pg_basebackup: apt-get install postgresql"
PASSWORD = "p@ss/wörd:50%"  # all characters that a URL must encode


def open_folder(name: str = "tests") -> Path:
    """Create a temporary folder that the server's user can enter, unlike pytest's folders."""
    folder = Path(tempfile.mkdtemp(prefix=f"synfin-{name}-", dir="/tmp")).resolve()
    folder.chmod(0o711)
    return folder


def copy_home(home: Path, target: Path) -> Path:
    """Copy a folder of databases with its owners; to create one takes ten times as long."""
    subprocess.run(["cp", "-a", home, target], check=True)
    return target


def free_port() -> int:
    """A free local TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class TcpServer:
    """A server on 127.0.0.1 that requires a password; it can be killed and restarted."""

    folder: Path
    programs: Path
    settings: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    username: str = "bank"
    password: str = PASSWORD
    process: subprocess.Popen[bytes] | None = None

    @classmethod
    def create(cls, programs: Path | None = None, **settings: str) -> TcpServer:
        """Create a cluster in a temporary folder; :meth:`start` starts it."""
        folder = open_folder("tcp")
        user = server_user(folder / "none")
        if programs is None:
            programs = readable_binaries(server_binaries(), user, program_copies()).folder
        server = cls(folder, programs, settings)
        server.data.mkdir(mode=0o700)
        user.take(server.data)
        secret = folder / "password"
        secret.write_text(server.password, encoding="utf-8")
        user.take(secret)
        arguments = ["-U", server.username, "--auth=scram-sha-256", f"--pwfile={secret}"]
        server.run("initdb", "-D", str(server.data), *arguments, "--encoding=UTF8", "--no-sync")
        return server

    @classmethod
    def create_primary(cls, **settings: str) -> TcpServer:
        """Start a server that can have standbys, with the programs that make them."""
        return cls.create(DEBIAN[-1].parent, wal_level="replica", **settings).start()

    def create_standby(self, **settings: str) -> TcpServer:
        """Start a streaming standby of this server."""
        standby = type(self)(open_folder("standby"), self.programs, settings)
        standby.data.mkdir(mode=0o700)
        self.user.take(standby.data)
        result = subprocess.run(
            [
                *(str(self.programs / "pg_basebackup"), "-R", "--no-sync", "-c", "fast"),
                *("-h", "127.0.0.1", "-p", str(self.port), "-U", self.username),
                *("-D", str(standby.data)),
            ],
            env={**server_environment(), "PGPASSWORD": self.password},
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self.user.switch,
        )
        assert result.returncode == 0, result.stdout
        return standby.start()

    def promote(self) -> None:
        """Make a standby a primary."""
        self.run("pg_ctl", "promote", "-D", str(self.data))

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def user(self) -> ServerUser:
        return server_user(self.data if self.data.exists() else self.folder / "none")

    def run(self, program: str, *arguments: str) -> None:
        result = subprocess.run(
            [str(self.programs / program), *arguments],
            env=server_environment(),
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self.user.switch,
        )
        assert result.returncode == 0, result.stdout

    def start(self) -> TcpServer:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.data), *options],
                env=server_environment(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.user.switch,
            )
        self._wait_until_ready()
        return self

    def _wait_until_ready(self) -> None:
        for _ in range(1000):
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError((self.folder / "log").read_text())
            with contextlib.suppress(OSError):
                status = (self.data / "postmaster.pid").read_text().splitlines()
                if len(status) > 7 and status[7].strip() == "ready":
                    return
            time.sleep(0.02)
        raise AssertionError("the server did not start:\n" + (self.folder / "log").read_text())

    def kill(self) -> None:
        """Kill the server, as a power cut would."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """Stop the server, and roll back open transactions."""
        self._end(signal.SIGINT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    close = remove

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
            self.process = None

    def create_database(self, name: str) -> None:
        with self.connect("postgres") as admin:
            admin.execute(f'CREATE DATABASE "{name}"')

    @contextlib.contextmanager
    def connect(self, database: str) -> Iterator[Any]:
        """A cursor whose statements are committed one by one."""
        connection = psycopg2.connect(**self.config(database=database).connect_arguments())
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            yield cursor

    def config(self, **changes: object) -> DatabaseConfig:
        """Configuration that reaches this server."""
        settings: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "database": "postgres",
            "username": self.username,
            "password": self.password,
            **changes,
        }
        return DatabaseConfig(**settings)  # type: ignore[arg-type]


class OwnServer:
    """A server that already runs and is not stopped; its user can create databases and roles."""

    def __init__(self, url: str) -> None:
        self._config = DatabaseConfig.from_env(environ={"DATABASE_URL": url})

    def connect_arguments(self, database: str) -> dict[str, Any]:
        return {**self._config.connect_arguments(), "dbname": database}

    def restart(self) -> None:
        """Do nothing: no test stops this server."""


def variables_of(url: str) -> dict[str, str]:
    """Environment variables for the server of a URL, without its database."""
    config = DatabaseConfig.from_env(environ={"DATABASE_URL": url})
    named = {"host": config.host, "port": config.port, "username": config.username}
    variables = {VARIABLES[name]: str(value) for name, value in named.items() if value}
    if config.password:
        variables[VARIABLES["password"]] = config.connect_arguments()["password"]
    return variables


class Program:
    """A separate Python process that runs a program until it is asked to end.

    It runs in a new session, as a notebook's kernel does, and optionally as another user.
    """

    def __init__(
        self,
        lines: str,
        *,
        env: dict[str, str] | None = None,
        user: pwd.struct_passwd | None = None,
    ) -> None:
        switch: dict[str, Any] = {}
        python = [sys.executable]
        if user is not None and user.pw_uid != os.geteuid():
            switch = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            python = python_for(user.pw_uid)
        self.process = subprocess.Popen(
            [*python, "-c", textwrap.dedent(lines)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_PATHS), **(env or {})},
            start_new_session=True,
            **switch,
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def line(self) -> str:
        """Wait for the next line that the program prints."""
        assert self.process.stdout is not None
        line = b""
        # No further than the line's end: what is read ahead, finish() would not get.
        while not line.endswith(b"\n"):
            byte = os.read(self.process.stdout.fileno(), 1)
            if not byte:
                raise AssertionError(f"the program ended:\n{self.process.communicate()[1]}")
            line += byte
        return line.decode().strip()

    def finish(self) -> str:
        """Let the program end, and return the rest of its output."""
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err
        return out.strip()

    def kill(self) -> None:
        """Kill the program, as the system does when memory runs out."""
        self.process.kill()
        self.process.communicate()


_PATHS = [str(Path(__file__).parents[2]), *(path for path in sys.path if "-packages" in path)]


def wait_until(condition: Callable[[], bool], description: str) -> None:
    """Wait at most a minute until a condition holds."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"waited a minute in vain until {description}")


def normal_user() -> pwd.struct_passwd:
    """A user who is not root: the current user, unless that is root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def python_for(uid: int) -> list[str]:
    """Command of an interpreter of the same version that the user ``uid`` can run."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(sys.base_prefix) / "bin" / version
    for program in (sys.executable, str(base), f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            result = subprocess.run(
                [program, "-c", "import ctypes"], user=uid, group=uid, extra_groups=[], cwd="/"
            )
        except (PermissionError, FileNotFoundError):
            continue
        if result.returncode == 0:
            return [program]
    raise AssertionError(
        f"No {version} here that another user may run: install it system-wide "
        f"(Debian: apt-get install {version}), or run the tests as a normal user."
    )


class Link:
    """A TCP proxy in front of a server, whose connections can be stalled."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        #: Bytes forwarded so far.
        self.carried = 0
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.set()
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def stall(self) -> None:
        """Forward nothing more, in either direction, on old and new connections."""
        self._open.clear()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                self._open.wait()
                data = source.recv(1 << 16)
                self._open.wait()
                target.sendall(data)
                self.carried += len(data)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return


class PgBouncer:
    """A pgbouncer in front of a server, on a separate port and without a password.

    Parameters
    ----------
    server
        The server behind it.
    mode
        When a connection to the server is free for others: ``session`` or ``transaction``.
    settings
        Further settings of pgbouncer.ini, which replace those of this class.
    databases
        Lines of the section ``[databases]``; by default, all databases of the server.
    """

    PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

    def __init__(
        self, server: TcpServer, mode: str, *, databases: str | None = None, **settings: object
    ) -> None:
        assert self.PROGRAM is not None
        self.server = server
        self.port = free_port()
        self.folder = open_folder("pgbouncer")
        server.user.take(self.folder)
        self.process: subprocess.Popen[bytes] | None = None
        self.write(databases, pool_mode=mode, **settings)
        self.start()

    def write(self, databases: str | None = None, **settings: object) -> None:
        """Write pgbouncer.ini."""
        password = self.server.password.replace("'", "''")
        login = f"user={self.server.username} password='{password}'"
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "default_pool_size": 1,
            "logfile": self.folder / "log",
            **settings,
        }
        lines = [
            "[databases]",
            databases or f"* = host=127.0.0.1 port={self.server.port} {login}",
            "[pgbouncer]",
            *(f"{name} = {value}" for name, value in settings.items()),
        ]
        configuration = self.folder / "pgbouncer.ini"
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.server.user.take(configuration)

    def start(self) -> None:
        self.process = subprocess.Popen(
            [str(self.PROGRAM), "-q", str(self.folder / "pgbouncer.ini")],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **self.server.user.switch,
        )
        wait_until(self._listens, "pgbouncer listens")

    def stop(self) -> None:
        """Stop at once, and close all connections."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=60)
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def __enter__(self) -> PgBouncer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        return False

    def config(self, **changes: object) -> DatabaseConfig:
        """Configuration that connects to the server through the proxy."""
        return self.server.config(**{"port": self.port, "password": None, **changes})
