"""Databases for measurements: each begins with a fresh copy of a prepared database."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import psutil
from sqlalchemy import text

from synfin_analytics.database import embedded
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.io.load import load_df

if TYPE_CHECKING:
    from collections.abc import Iterator


class Place:
    """A server and the databases that we create on it, named ``synfin_benchmark_...``."""

    def __init__(self, config: DatabaseConfig, folder: Path) -> None:
        self._config = config
        self.folder = folder
        self._admin = self._manager("postgres")

    def _manager(self, database: str) -> DatabaseManager:
        return DatabaseManager(dataclasses.replace(self._config, database=database))

    def _execute(self, *statements: str) -> None:
        with self._admin.engine.connect() as connection:
            for statement in statements:
                connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(statement))

    @property
    def server(self) -> str:
        """Version of the server and the settings that affect its speed."""
        names = ("server_version", "shared_buffers", "maintenance_work_mem", "wal_level", "fsync")
        with self._admin.engine.connect() as connection:
            settings = [
                f"{name} {connection.execute(text(f'SHOW {name}')).scalar_one()}" for name in names
            ]
        return ", ".join(settings)

    @contextlib.contextmanager
    def prepared(self, name: str, frames: dict[str, object]) -> Iterator[str]:
        """Create a database with our tables and these rows, vacuumed, as a template."""
        name = f"synfin_benchmark_{os.getpid()}_{name}"
        self._execute(f'CREATE DATABASE "{name}"')
        manager = self._manager(name)
        try:
            manager.create_all_tables()
            for table, frame in frames.items():
                load_df(frame, table, manager=manager, progress=False)
            with manager.engine.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT").execute(
                    text("VACUUM ANALYZE")
                )
            manager.close()
            yield name
        finally:
            manager.close()
            self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    @contextlib.contextmanager
    def fresh(self, template: str) -> Iterator[str]:
        """URL of a copy of a prepared database; the copy is dropped after use."""
        name = f"{template}_copy"
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        try:
            yield self.url(name)
        finally:
            self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def url(self, name: str) -> str:
        """URL of a database for any client."""
        manager = self._manager(name)
        try:
            return manager.get_connection_string().replace("+psycopg2", "", 1)
        finally:
            manager.close()

    def server_seconds(self) -> float:
        """Processor seconds of the server so far."""
        return server_seconds(self._admin)

    def count(self, url: str) -> int:
        """Number of rows in ``transactions``."""
        manager = DatabaseManager(DatabaseConfig.from_env(environ={"DATABASE_URL": url}))
        try:
            with manager.engine.connect() as connection:
                return int(
                    connection.execute(text("SELECT count(*) FROM transactions")).scalar_one()
                )
        finally:
            manager.close()

    def close(self) -> None:
        """Close the connections to the server."""
        self._admin.close()


def server_seconds(manager: DatabaseManager) -> float:
    """Processor seconds of all processes of a server, those that ended among them."""
    with manager.engine.connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    server = psutil.Process(pid).parent()
    if server is None:
        raise click.ClickException("the server's process is not on this machine.")
    times = server.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    for process in server.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # the server counts it from now on
            own = process.cpu_times()
            total += own.user + own.system
    return total


@contextlib.contextmanager
def open_place() -> Iterator[Place]:
    """Open the server that DB_* or DATABASE_URL names, or an embedded server in a temp folder."""
    folder = Path(tempfile.mkdtemp(prefix="synfin-benchmark-"))
    folder.chmod(0o711)  # root's server runs as another user, who must reach its folder
    config = DatabaseConfig.from_env()
    own = config.embedded and config.data_dir is None
    if own:
        config = dataclasses.replace(config, data_dir=folder)
    place = Place(config, folder)
    try:
        yield place
    finally:
        place.close()
        if own:
            embedded.stop(folder, force=True)
        shutil.rmtree(folder)


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Set DB_DATA_DIR to an empty temporary folder, and remove all other DB_* variables."""
    for name in [name for name in os.environ if name.startswith("DB_") or name == "DATABASE_URL"]:
        del os.environ[name]
    with tempfile.TemporaryDirectory(prefix="synfin-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # root's server runs as another user, who must reach its folder
        os.environ["DB_DATA_DIR"] = name
        try:
            yield folder
        finally:
            embedded.stop(folder, force=True)
