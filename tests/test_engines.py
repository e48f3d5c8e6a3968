"""docs/reference/engines.md: what each function collects from each engine, as measured here."""

from __future__ import annotations

import os

import capabilities
import polars as pl
import pytest
from capabilities import CALLS, ENGINES, PAGE, Place
from collected import Collected, count_collected

from synfin_analytics import load_df


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return capabilities.write_files(tmp_path_factory.mktemp("transactions"))


@pytest.fixture(scope="module")
def measured(files, spark, tmp_path_factory, parents):
    """What each call does with each engine, by call and engine."""
    return {
        name: {
            engine: capabilities.measure(
                call,
                capabilities.open_files(engine, files, spark),
                Place(tmp_path_factory.mktemp("out"), parents),
            )
            for engine in ENGINES
        }
        for name, call in CALLS.items()
    }


@pytest.fixture(scope="module")
def parents(_module_database):
    """A database with the customers and merchants of the transactions."""
    import contextlib
    import dataclasses

    from synfin_analytics import DatabaseConfig, DatabaseManager

    config = dataclasses.replace(DatabaseConfig.from_env(), database=_module_database)
    with contextlib.closing(DatabaseManager(config)) as manager:
        for table in ("customers", "merchants"):
            load_df(getattr(capabilities.world(), table), table, manager=manager)
        yield manager


def test_the_page_says_what_was_measured(measured):
    text = PAGE.read_text(encoding="utf-8")
    expected = capabilities.replace_table(text, capabilities.table(measured))
    if "WRITE_TABLES" in os.environ:
        PAGE.write_text(expected, encoding="utf-8")
    else:
        assert text == expected, "run python docs/engines.py"


def test_the_page_has_every_public_function_of_frames():
    assert {name.partition(" ")[0].partition("(")[0] for name in CALLS} == (
        capabilities.public_functions()
    )


def test_a_function_that_collects_says_why(measured):
    silent = [
        name
        for name, engines in measured.items()
        if "collects" in engines.values() and " because " not in CALLS[name].note
    ]
    assert silent == []


# -- The measure itself ----------------------------------------------------------------------------

WAYS = {
    "polars": (
        lambda df: df.collect(),
        lambda df: df.select(pl.len()).collect(),
        lambda df: list(df.collect_batches(chunk_size=1000)),
    ),
    "duckdb": (
        lambda df: df.to_arrow_table(),
        lambda df: df.aggregate("count(*)").fetchall(),
        lambda df: df.to_arrow_reader(1000).read_all(),
    ),
    "dask": (
        lambda df: df.compute(),
        lambda df: df["amount"].sum().compute(),
        lambda df: [part.compute() for part in df.partitions],
    ),
    "spark": (
        lambda df: df.toArrow(),
        lambda df: df.count(),
        lambda df: list(df.toLocalIterator()),
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_measure_sees_what_an_engine_hands_over(engine, files, spark):
    n_rows = len(capabilities.world().transactions)
    df = capabilities.open_files(engine, files, spark)
    collects, counts, streams = WAYS[engine]

    with count_collected() as collected:
        collects(df)
    assert capabilities.classify(collected, n_rows, lazy=False) == "collects"
    assert collected.rows == n_rows

    with count_collected() as collected:
        counts(df)
    assert collected.rows <= 1

    with count_collected() as collected:
        streams(df)
    assert capabilities.classify(collected, n_rows, lazy=False) == "streams"


@pytest.mark.parametrize(
    ("collected", "lazy", "expected"),
    [
        (Collected(0, 0), True, "lazy"),
        (Collected(49, 49), False, "distributed"),
        (Collected(100, 10), False, "streams"),
        (Collected(100, 50), False, "collects"),
        (Collected(100, 50), True, "collects"),
    ],
)
def test_what_was_collected_decides(collected, lazy, expected):
    assert capabilities.classify(collected, 100, lazy=lazy) == expected
