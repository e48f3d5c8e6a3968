"""The campaign of faults notices what it looks for: a half-load, a lost commit, a lost index."""

import importlib
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from synfin_analytics.io.load import load_df

FOLDER = Path(__file__).parents[2] / "benchmarks"
MODULES = ("_faults_work", "_faults_kinds", "_faults_inject", "faults")


@pytest.fixture
def modules(monkeypatch):
    """The modules of the campaign, which lie beside the command."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture
def work(modules, manager, tmp_path):
    """A load whose states before and after are known."""
    work = modules["_faults_work"].LoadMore(tmp_path)
    work.learn(manager)
    work.prepare(manager)
    return work


@pytest.fixture
def campaign(modules, work, manager, tmp_path):
    catalog = modules["_faults_work"].read_catalog(manager)
    name = work.database
    return modules["faults"].Campaign(None, tmp_path, "", {name: manager}, {name: catalog})


def test_the_states_before_and_after_the_work_are_told_apart(work, manager):
    assert work.inspect(manager) == ("before", "")
    work.run(manager)
    assert work.inspect(manager) == ("after", "")


def test_half_of_a_load_is_noticed(modules, work, manager):
    module = modules["_faults_work"]
    half = module.transactions(module.ROWS // 2, first=module.EARLIER)
    load_df(half, "transactions", manager=manager)

    state, problem = work.inspect(manager)

    assert state is None
    assert "half of the work" in problem


@pytest.mark.parametrize(
    ("outcome", "state", "problem"),
    [
        ({"outcome": "success"}, "before", "it is not there"),
        ({"outcome": "error", "message": "Nothing was loaded"}, "after", "but it is there"),
        ({"outcome": "error", "message": "it is unknown whether"}, "after", ""),
        ({"outcome": "unexpected"}, "before", "not one of the package's"),
        ({"outcome": "no answer"}, "before", "did not answer"),
        ({"outcome": "interrupted"}, "after", ""),
        ({"outcome": "success"}, "after", ""),
    ],
)
def test_an_answer_that_contradicts_the_tables_is_noticed(campaign, work, outcome, state, problem):
    text_of_problem = campaign._contradiction(work, outcome, state)

    assert problem in text_of_problem
    assert bool(problem) == bool(text_of_problem)


VALID = (
    "UPDATE pg_index SET indisvalid = {} WHERE indexrelid = 'ix_transactions_fraud_type'::regclass"
)
RENAME = "ALTER INDEX {} RENAME TO {}"
TRIGGERS = "ALTER TABLE transactions {} TRIGGER USER"


@pytest.mark.parametrize(
    ("damage", "repair"),
    [
        pytest.param(VALID.format("false"), VALID.format("true"), id="invalid index"),
        pytest.param(
            RENAME.format("ix_transactions_fraud_type", "ix_other"),
            RENAME.format("ix_other", "ix_transactions_fraud_type"),
            id="missing index",
        ),
        pytest.param(TRIGGERS.format("DISABLE"), TRIGGERS.format("ENABLE"), id="disabled trigger"),
    ],
)
def test_damage_to_the_schema_is_noticed(campaign, work, manager, damage, repair):
    assert campaign._damage(work) == ""
    with manager.session_scope() as session:
        session.execute(text(damage))
    try:
        assert "schema objects differ" in campaign._damage(work)
    finally:
        with manager.session_scope() as session:
            session.execute(text(repair))
    assert campaign._damage(work) == ""
