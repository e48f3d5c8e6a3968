"""Fixtures on a real PostgreSQL: each worker has an embedded server of its own.

Roles, settings and the databases of lessons have fixed names, and some tests stop the server: with
one for all, workers would disturb each other.

It is in this folder because the examples of docstrings are tests, too.

With ``SYNFIN_TEST_DATABASE_URL``, the tests that need a database run on that server instead, and
the others are left out: CI runs them so on the oldest and the newest PostgreSQL. Its workers share
it, so that a role has another name in each file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import itertools
import os
import shutil
import signal
import sys
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import psycopg2
import pytest
import servers
from caches import memcached_server, redis_server
from psycopg2 import sql
from sqlalchemy import text
from sqlalchemy.exc import NoResultFound, ProgrammingError

# pytest would import a module before its package, whose own import would make its classes again.
from synfin_analytics import metrics, plots  # noqa: F401
from synfin_analytics.database import embedded
from synfin_analytics.database._settings import VARIABLES
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager, get_db_manager
from synfin_analytics.database.schema import known_versions

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from caches import CacheServer
    from pyspark.sql import SparkSession
    from sqlalchemy.orm import Session
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

# A busy machine makes no test wrong: none has a deadline.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

_FOLDER = "SYNFIN_TEST_FOLDER"
_URL = "SYNFIN_TEST_DATABASE_URL"
#: Files that take longest, roughly the longest first: a worker that began with one of them last
#: would work on alone.
SLOW_FILES = (
    "metrics/test_spark.py",  # with the other SPARK_FILES
    "tests/test_notebooks.py",
    "tests/test_distributed.py",
    "jupyter/test_jupyterlab.py",
    "reports/test_browser.py",
    "reports/test_frames.py",
    "benchmarks/test_benchmark_features.py",
    "benchmarks/test_handbook_file.py",
    "io/test_suggest.py",
    "database/test_schema.py",
    "course/test_runner.py",
    "cli/test_demo.py",
    "io/test_load_fidelity.py",
    "database/test_embedded.py",
    "io/test_load_atomic_server.py",
    "course/test_exercises.py",
    "reports/test_cli.py",
    "database/test_embedded_processes.py",
    "benchmarks/test_benchmarks.py",
    "course/test_class.py",
    "metrics/test_fraud_rate.py",
    "database/test_embedded_kills.py",
    "io/test_load_cells.py",
    "reports/test_interactive.py",
    "metrics/test_as_of.py",
    "repositories/test_evaluate_rules.py",
    "repositories/test_evaluate.py",
    "repositories/test_cache.py",
    "rules/test_evaluate_rules.py",
    "features/test_features.py",
    "reports/test_profile.py",
    "database/test_pgbouncer.py",
    "archive/test_archive.py",
    "archive/test_kills.py",
    "erasure/test_archives.py",
    "snapshot/test_snapshot.py",
    "database/test_replicas.py",
)
#: Files with tests that use `spark`, `distribute` or `to_lazy`, but for test_distributed.py: it has
#: one such test, and is long.
SPARK_FILES = (
    "metrics/test_spark.py",
    "baseline/test_baseline_distributed.py",
    "baseline/test_score.py",
    "cli/test_export_folders.py",
    "detection/test_detectors_distributed.py",
    "features/test_features_distributed.py",
    "io/test_load_distributed.py",
    "metrics/test_compact.py",
    "metrics/test_lazy_rows.py",
    "metrics/test_lazy_splits.py",
    "metrics/test_sources.py",
    "reports/test_lazy_frames.py",
    "reports/test_lazy_fraud.py",
    "reports/test_lazy_models.py",
    "reports/test_spark.py",
    "rules/test_conditions.py",
    "rules/test_rules_on_spark.py",
    "tests/test_engines.py",
    "tests/test_worker_errors.py",
)


def pytest_configure(config: pytest.Config) -> None:
    """Keep tests, doctests included, off the user's own databases."""
    for name in [*VARIABLES.values(), "DATABASE_URL", "DB_ENV"]:
        os.environ.pop(name, None)
    # On processors that others use, too, OpenMP's threads spend minutes waiting for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # A run in the background ignores Ctrl-C, and so would the programs that tests start and stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if _FOLDER not in os.environ:  # workers of pytest-xdist inherit it
        os.environ[_FOLDER] = str(servers.open_folder())
        config.stash[_owner] = True
    home = Path(os.environ[_FOLDER], os.environ.get("PYTEST_XDIST_WORKER", "main"))
    home.mkdir()
    home.chmod(0o711)  # as servers.open_folder()
    os.environ["DB_DATA_DIR"] = str(home)
    os.environ["XDG_CONFIG_HOME"] = str(home)  # no synfin.toml of the user's
    if _URL in os.environ:
        os.environ.update(servers.variables_of(os.environ[_URL]))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector the modules and tests, which stay until the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the slow files, and on a server of another's leave out what needs none."""
    ranks = {path: _rank(path) for path in {item.path for item in items}}
    items.sort(key=lambda item: ranks[item.path])
    if _URL in os.environ:
        names = [getattr(item, "fixturenames", ()) for item in items]
        keep = ["_any_server" in each and "server" not in each for each in names]
        config.hook.pytest_deselected(
            items=[item for item, kept in zip(items, keep, strict=True) if not kept]
        )
        items[:] = itertools.compress(items, keep)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Let one worker run all files of Spark, so that only one Spark starts."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class OneSpark(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "Spark" if file.endswith(SPARK_FILES) else file

    return OneSpark(config, log)


def _rank(path: Path) -> int:
    """Place of a file among the slow ones; all others come after them, as collected."""
    places = (n for n, file in enumerate(SLOW_FILES) if str(path).endswith(file))
    return next(places, len(SLOW_FILES))


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash.get(_owner, False):
        folder = Path(os.environ.pop(_FOLDER))
        for home in folder.iterdir():
            embedded.stop(home, force=True)
        shutil.rmtree(folder)


_owner = pytest.StashKey[bool]()


@pytest.fixture(scope="session")
def server() -> Iterator[embedded.EmbeddedPostgres]:
    """The embedded server of this worker."""
    one = embedded.EmbeddedPostgres(os.environ["DB_DATA_DIR"])
    with contextlib.closing(psycopg2.connect(**one.connect_arguments("postgres"))) as admin:
        admin.autocommit = True
        with admin.cursor() as cursor:  # no power cut is tested on this one
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                cursor.execute(f"ALTER SYSTEM SET {setting} = off")
            cursor.execute("SELECT pg_reload_conf()")
    yield one
    one.release()


@pytest.fixture(scope="session")
def created_home() -> Iterator[Path]:
    """A folder of databases whose server has stopped, for `servers.copy_home`."""
    folder = servers.open_folder("created")
    home = folder / "databases"
    with contextlib.closing(embedded.EmbeddedPostgres(home)) as new_server:
        new_server.start()
        embedded.stop(home, force=True)
    yield home
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def _any_server(request: pytest.FixtureRequest) -> embedded.EmbeddedPostgres | servers.OwnServer:
    """The server of the databases: the embedded one, or the one that the environment names."""
    if _URL in os.environ:
        return servers.OwnServer(os.environ[_URL])
    one: embedded.EmbeddedPostgres = request.getfixturevalue("server")
    return one


@contextlib.contextmanager
def _new_database(
    server: embedded.EmbeddedPostgres | servers.OwnServer, template: str = "template0"
) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = psycopg2.connect(**server.connect_arguments("postgres"))
    admin.autocommit = True
    with contextlib.closing(admin), admin.cursor() as cursor:
        create = "CREATE DATABASE {} TEMPLATE {}"
        if admin.server_version >= 15_00_00:  # before, this was the only way
            create += " STRATEGY file_copy"
        cursor.execute(sql.SQL(create).format(sql.Identifier(name), sql.Identifier(template)))
        yield name
        # A test may have stopped the server under this connection.
    server.restart()
    admin = psycopg2.connect(**server.connect_arguments("postgres"))
    admin.autocommit = True
    with contextlib.closing(admin), admin.cursor() as cursor:
        cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def empty_database(
    _any_server: embedded.EmbeddedPostgres | servers.OwnServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DatabaseConfig]:
    """Configuration of a database without tables; the environment points to it as well."""
    with _new_database(_any_server) as name:
        monkeypatch.setenv("DB_NAME", name)
        yield DatabaseConfig.from_env()


@pytest.fixture(scope="session")
def _template(_any_server: embedded.EmbeddedPostgres | servers.OwnServer) -> Iterator[str]:
    """A database with the seven tables, to copy."""
    with _new_database(_any_server) as name:
        manager = DatabaseManager(dataclasses.replace(DatabaseConfig.from_env(), database=name))
        manager.create_all_tables()
        manager.close()
        yield name


@pytest.fixture(scope="module")
def _module_database(
    _any_server: embedded.EmbeddedPostgres | servers.OwnServer, _template: str
) -> Iterator[str]:
    with _new_database(_any_server, _template) as name:
        yield name


@pytest.fixture
def manager(_module_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseManager]:
    """The process's manager (``get_db_manager()``), on a database with empty tables.

    ``DB_NAME`` and ``DB_DATA_DIR`` name that database, so that a subprocess finds it too.
    """
    monkeypatch.setenv("DB_NAME", _module_database)
    manager = get_db_manager(DatabaseConfig.from_env())
    if not _empty_tables(manager):  # a test before has dropped them
        manager.create_all_tables()
        assert _empty_tables(manager)
    yield manager
    manager.close()


def _empty_tables(manager: DatabaseManager) -> bool:
    """Empty the tables that hold rows; most tests touch few. Say whether the tables are there."""
    from synfin_analytics.database.models import DATA_VERSIONS, Base

    tables = [table for table in Base.metadata.sorted_tables if table is not DATA_VERSIONS]
    names = [f'"{table.name}"' for table in tables]
    rows = ", ".join(f"EXISTS (SELECT FROM {name})" for name in names)
    try:
        with manager.engine.begin() as connection:
            query = text(f"SELECT version_num, {rows} FROM alembic_version")
            (version, *has_rows) = connection.execute(query).one()
            filled = list(itertools.compress(names, has_rows))
            if filled:
                connection.execute(text(f"TRUNCATE {', '.join(filled)} RESTART IDENTITY CASCADE"))
    except (ProgrammingError, NoResultFound):
        return False
    return version == known_versions()[-1]


@pytest.fixture(scope="module")
def world(_module_database: str) -> Iterator[DatabaseManager]:
    """Two models' predictions of some payments, in the module's database; see ``reported.py``."""
    from reported import open_world

    manager = open_world(_module_database)
    yield manager
    manager.close()


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A session of Spark, which takes seconds to start; in UTC, so put back what you set."""
    from engines import spark_session

    with spark_session() as session:
        yield session


@pytest.fixture
def without_pyarrow(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the workers of Spark run a Python that cannot import pyarrow."""
    package = tmp_path / "without" / "pyarrow"
    package.mkdir(parents=True)
    error = "ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')"
    (package / "__init__.py").write_text(f"raise {error}\n")
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH="{package.parent}:$PYTHONPATH" exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(spark.sparkContext, "pythonExec", str(python))


@pytest.fixture(params=["polars lazy", "duckdb", "dask with arrow", "spark"])
def to_lazy(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Convert a polars frame to a lazy frame of an engine."""
    from engines import ENGINES, to_spark

    if request.param == "spark":
        return partial(to_spark, request.getfixturevalue("spark"))
    return ENGINES[request.param]


@pytest.fixture(params=["dask", "spark"])
def distribute(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Convert a polars frame to a frame of Dask or Spark."""
    from engines import ENGINES, to_spark

    if request.param == "dask":
        return ENGINES["dask with arrow"]
    return partial(to_spark, request.getfixturevalue("spark"))


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """Close the figures of a test: matplotlib warns of many, and one worker runs many tests."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        from matplotlib import pyplot as plt

        plt.close("all")


@pytest.fixture(autouse=True)
def _empty_tables_for_an_example(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let each example of a docstring find empty tables, whatever the ones before it stored."""
    if isinstance(request.node, pytest.DoctestItem):
        request.getfixturevalue("_examples_of_a_module")
        manager: DatabaseManager = request.getfixturevalue("_example_manager")
        monkeypatch.setenv("DB_NAME", manager.config.database)
        if not _empty_tables(manager):
            manager.create_all_tables()


@pytest.fixture(scope="module")
def _examples_of_a_module() -> Iterator[None]:
    """Close the process's manager after the examples: tests open it on another database."""
    yield
    get_db_manager().close()


@pytest.fixture(scope="session")
def _example_manager(server: embedded.EmbeddedPostgres) -> Iterator[DatabaseManager]:
    """A manager of the database that examples use."""
    manager = DatabaseManager(DatabaseConfig(data_dir=server.home, database="examples"))
    yield manager
    manager.close()


@pytest.fixture
def session(manager: DatabaseManager) -> Iterator[Session]:
    """A session of ``manager``; what a test leaves open is rolled back."""
    with manager.get_session() as session:
        yield session


@pytest.fixture(scope="module")
def tcp_server() -> Iterator[servers.TcpServer]:
    """A server on a TCP port that asks for a password."""
    one = servers.TcpServer.create().start()
    yield one
    one.remove()


@pytest.fixture(scope="module")
def redis() -> Iterator[CacheServer]:
    """A Redis that requires a password."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def memcached() -> Iterator[CacheServer]:
    """A memcached with its usual limits."""
    with memcached_server() as server:
        yield server


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder that the server's user can enter, wherever pytest keeps its own."""
    folder = servers.open_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
