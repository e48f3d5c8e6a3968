"""A student's session: the data of start_lesson, the feedback of check, and hints."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import inspect, text

from synfin_analytics import DatabaseConfig, DatabaseManager, get_db_manager, read_df
from synfin_analytics.course import (
    Number,
    Numbers,
    check,
    get_lesson,
    hint,
    session,
    start_lesson,
)
from synfin_analytics.course.lessons import LESSONS
from synfin_analytics.course.session import SEED_VARIABLE
from synfin_analytics.exceptions import ArgumentError, ConfigurationError, NotFoundError

EXERCISES = [exercise.number for number in LESSONS for exercise in get_lesson(number).exercises]


@pytest.fixture
def data():
    return start_lesson("05", seed=3)


@pytest.fixture
def right(data):
    """The correct answer to 05.1 on the data of this seed."""
    lesson = get_lesson("05")
    return lesson.exercise("05.1").grader(lesson.make_facts(3)).truth


@pytest.fixture
def fresh_session(monkeypatch):
    """Start a session without lessons, checks and hints."""
    monkeypatch.setattr(session, "_session", session._Session())


# -- start_lesson ----------------------------------------------------------------------------------


def test_lesson_data_display_their_items(data):
    assert [*data] == ["validation", "test"]
    assert set(dir(data)) == {"validation", "test"}
    assert re.match(r"Lesson 05, seed 3\n  \.validation: [\d,]+ payments of ", repr(data))
    assert re.search(r"<li><code>\.test</code>: [\d,]+ payments of ", data._repr_html_())


def test_an_unknown_item_of_the_lesson_data_raises_a_clear_error(data):
    with pytest.raises(
        AttributeError, match=r"Unknown name: 'train'\. Valid names: validation, test\."
    ):
        _ = data.train


def test_the_same_seed_gives_the_same_data_and_another_seed_gives_others(data):
    assert start_lesson("5", seed=3).test.equals(data.test)
    assert not start_lesson("05", seed=4).test.equals(data.test)


def test_the_seed_in_the_environment_takes_precedence(data, monkeypatch):
    monkeypatch.setenv(SEED_VARIABLE, "4")
    other_lesson = start_lesson("05", seed=3)
    assert repr(other_lesson).startswith("Lesson 05, seed 4")
    monkeypatch.delenv(SEED_VARIABLE)
    assert start_lesson("05", seed=4).test.equals(other_lesson.test)


@pytest.mark.parametrize("seed", [-1, 1.5, "7", True, None])
def test_a_seed_that_is_not_an_integer_raises(seed):
    with pytest.raises(ArgumentError, match=r"`seed` must be an integer of at least 0; got "):
        start_lesson("05", seed=seed)


def test_a_seed_in_the_environment_that_is_not_an_integer_raises(monkeypatch):
    monkeypatch.setenv(SEED_VARIABLE, "seven")
    with pytest.raises(
        ConfigurationError, match=f"{SEED_VARIABLE} must be an integer; got 'seven'"
    ):
        start_lesson("05")


def test_an_unknown_lesson_raises():
    with pytest.raises(NotFoundError, match=r"There is no lesson '11'\. Available: 01, 02, "):
        start_lesson("11")


# -- check -----------------------------------------------------------------------------------------


def test_a_correct_answer_passes_and_increases_the_progress(right):
    result = check("05.1", right)
    assert result
    assert repr(result) == "05.1 passed: Correct.\nLesson 05: 1 of 5 exercises passed."


def test_a_wrong_answer_does_not_pass_and_revokes_an_earlier_pass(right):
    check("05.1", right)
    result = check("05.1", 2)
    assert not result
    assert repr(result).startswith("05.1 not passed yet: The score must be between 0 and 1.")
    assert result.progress == "Lesson 05: 0 of 5 exercises passed."


def test_a_result_displays_itself_in_a_notebook_with_the_answer_escaped(right):
    assert "\N{CHECK MARK} 05.1 passed" in check("05.1", right)._repr_html_()
    start_lesson("02", seed=3)
    displayed = check("02.1", dict.fromkeys("ABCD", "<script>"))._repr_html_()
    assert "&lt;script&gt;" in displayed
    assert "<script>" not in displayed


def test_a_restarted_lesson_has_no_passed_exercises(right):
    check("05.1", right)
    hint("05.1")
    start_lesson("05", seed=3)
    assert check("05.2", "?").progress == "Lesson 05: 0 of 5 exercises passed."
    assert len(hint("05.1").shown) == 1


def test_a_lesson_that_was_not_started_cannot_be_checked(fresh_session):
    with pytest.raises(ArgumentError, match=r'run the cell with start_lesson\("05"\) first'):
        check("05.1", 1)


@pytest.mark.parametrize("call", [hint, lambda number: check(number, 1)])
def test_an_unknown_exercise_raises(data, call):
    with pytest.raises(NotFoundError, match=r"There is no exercise '05\.9'\. Did you mean"):
        call("05.9")


# -- hint ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", EXERCISES)
def test_each_call_shows_one_more_hint(number, fresh_session):
    hints = get_lesson(number).exercise(number).hints
    displayed = [hint(number) for _ in range(len(hints) + 1)]
    for step, result in enumerate(displayed[:-1], 1):
        assert result.shown == hints[:step]
        assert f"Hint {step} of {len(hints)} for {number}: {hints[step - 1]}" in repr(result)
    assert repr(displayed[0]).endswith(f'{len(hints) - 1} more hints: run hint("{number}") again.')
    assert repr(displayed[-1]).endswith("This was the last hint.")
    assert displayed[-1].shown == hints


def test_a_hint_displays_itself_in_a_notebook(data):
    displayed = hint("05.2")._repr_html_()
    assert "Hint for 05.2" in displayed
    assert "1 of 3: Two things cost" in displayed


@pytest.mark.parametrize("number", EXERCISES)
def test_no_hint_contains_the_solution(number):
    """A hint is the same on all data, so its words cannot be the answer on these."""
    lesson = get_lesson(number)
    hints = " ".join(lesson.exercise(number).hints)
    assert len(lesson.exercise(number).hints) >= 3
    for seed in (3, 8):
        grader = lesson.exercise(number).grader(lesson.make_facts(seed))
        truths = [grader.truth] if isinstance(grader, Number) else []
        if isinstance(grader, Numbers):
            truths = [part.truth for part in grader.parts.values()]
        numbers = {float(number) for number in re.findall(r"\d+(?:\.\d+)?", hints)}
        assert not numbers & set(truths)


# -- Lessons with a database -----------------------------------------------------------------------

WITH_DATABASE = [number for number in LESSONS if get_lesson(number).database]


@pytest.fixture
def closed():
    """Close the manager of this process at the end: the next test may need another one."""
    yield
    get_db_manager().close()


@pytest.mark.parametrize("number", WITH_DATABASE)
def test_a_lesson_with_a_database_has_its_own(number, closed):
    start_lesson(number, seed=3)
    assert get_db_manager().config.database == f"exercise_{number}"
    expected = 0 if get_lesson(number).tables is None else 1000
    assert read_df("SELECT count(*) AS n FROM transactions")["n"].item() >= expected


def test_a_restarted_lesson_has_a_new_database(closed):
    start_lesson("01", seed=3)
    with get_db_manager().engine.begin() as connection:
        connection.execute(text("INSERT INTO customers (customer_id) VALUES ('mine')"))
    start_lesson("01", seed=3)
    assert len(read_df("customers")) == 0


def test_the_database_of_the_user_is_not_changed(empty_database, closed):
    manager = DatabaseManager(empty_database)
    with manager.engine.begin() as connection:
        connection.execute(text("CREATE TABLE customers (mine text)"))

    start_lesson("01", seed=3)

    with manager.engine.connect() as connection:
        assert [column["name"] for column in inspect(connection).get_columns("customers")] == [
            "mine"
        ]
    manager.close()


def test_a_server_in_the_environment_is_not_used(monkeypatch, closed):
    monkeypatch.setenv("DATABASE_URL", "postgresql://bank.invalid/fraud")
    start_lesson("01", seed=3)
    assert get_db_manager().config.embedded


def test_a_lesson_replaces_the_previous_lesson(manager, closed):
    assert get_db_manager() is manager
    start_lesson("01", seed=3)
    start_lesson("04", seed=3)
    assert get_db_manager().config == DatabaseConfig(
        database="exercise_04", data_dir=manager.config.data_dir
    )
