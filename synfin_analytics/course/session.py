"""A student session: start a lesson, check answers, ask for hints."""

from __future__ import annotations

import html
import os
from typing import TYPE_CHECKING, Any

from synfin_analytics.course._exercise import Lesson, lesson
from synfin_analytics.course.feedback import CheckResult, Hint
from synfin_analytics.exceptions import ArgumentError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seed of the student whose notebook is being marked: goes before what the notebook says.
SEED = "SYNFIN_EXERCISE_SEED"
PASSED = "That is right."


class LessonData:
    """What a lesson hands out: each thing by its name; shows itself with what it is."""

    def __init__(self, title: str, things: dict[str, tuple[Any, str]]) -> None:
        self._title = title
        self._things = things

    def __getattr__(self, name: str) -> Any:
        things = self.__dict__.get("_things", {})
        if name not in things:
            raise AttributeError(f"Unknown name: {name!r}. Known: {', '.join(things)}.")
        return things[name][0]

    def __dir__(self) -> list[str]:
        return list(self._things)

    def __iter__(self) -> Iterator[str]:
        return iter(self._things)

    def __repr__(self) -> str:
        told = [f"  .{name}: {words}" for name, (_, words) in self._things.items()]
        return "\n".join([self._title, *told])

    def _repr_html_(self) -> str:
        told = "".join(
            f"<li><code>.{html.escape(name)}</code>: {html.escape(words)}</li>"
            for name, (_, words) in self._things.items()
        )
        return f"<p><strong>{html.escape(self._title)}</strong></p><ul>{told}</ul>"


class _Desk:
    """Lesson and seed of this process, what has passed, and which hints were shown."""

    def __init__(self) -> None:
        self.seeds: dict[str, int] = {}
        self.passed: set[str] = set()
        self.hints: dict[str, int] = {}
        self.on_check: Callable[[str, Any], None] | None = None


_desk = _Desk()


def on_check(call: Callable[[str, Any], None]) -> None:
    """Call a function with the exercise and the answer of every check of this process."""
    _desk.on_check = call


def start_lesson(number: str, seed: int = 1) -> LessonData:
    """Start a lesson, or restart it, and return its data.

    Parameters
    ----------
    number
        Of the lesson, as "05".
    seed
        Of the data: each student can have other ones.

    Returns
    -------
    LessonData
        What the lesson is about, by name. A lesson that works in a database gets one of its own on
        the embedded server, made anew; ``get_db_manager()`` is then that one's.

    Raises
    ------
    NotFoundError
        There is no such lesson.
    ArgumentError
        The seed is not a whole number of at least 0.
    ConfigurationError
        The seed in the environment, which takes precedence during marking, is not a whole number.

    Examples
    --------
    >>> data = start_lesson("05", seed=7)
    >>> len(data.validation) > 1000
    True
    """
    one = lesson(number)
    seed = _seed(seed)
    facts = one.facts(seed)
    if one.database:
        _open_database(one, one.database, facts)
    _desk.seeds[one.number] = seed
    mine = {each.number for each in one.exercises}
    _desk.passed -= mine
    for each in mine:
        _desk.hints.pop(each, None)
    return LessonData(f"Lesson {one.number}, data of seed {seed}", one.handed_out(facts))


def check(number: str, answer: Any) -> CheckResult:
    """Check an answer, and say in words what is wrong with it.

    Parameters
    ----------
    number
        Of the exercise, as "05.2".
    answer
        A number, text, list, dict or table, of whatever library.

    Returns
    -------
    CheckResult
        True in an ``if`` where it passed.

    Raises
    ------
    NotFoundError
        There is no such exercise.
    ArgumentError
        Its lesson has not begun.

    Examples
    --------
    >>> data = start_lesson("05", seed=7)
    >>> check("05.1", "a lot").words
    'Expected a number but got a string. Remove the quotes.'
    """
    one = lesson(number)
    exercise = one.exercise(number)
    if one.number not in _desk.seeds:
        raise ArgumentError(
            f"Lesson {one.number} has not been started; run the cell with "
            f'start_lesson("{one.number}") first.'
        )
    if _desk.on_check:
        _desk.on_check(number, answer)
    fault = exercise.grader(one.facts(_desk.seeds[one.number])).judge(answer)
    (_desk.passed.add if fault is None else _desk.passed.discard)(number)
    return CheckResult(number, fault is None, fault or PASSED, _progress(one))


def hint(number: str) -> Hint:
    """Show the next hint to an exercise, below those that were shown before.

    Raises
    ------
    NotFoundError
        There is no such exercise.

    Examples
    --------
    >>> hint("05.1").shown == lesson("05").exercise("05.1").hints[:1]
    True
    """
    hints = lesson(number).exercise(number).hints
    shown = min(_desk.hints.get(number, 0) + 1, len(hints))
    _desk.hints[number] = shown
    return Hint(number, hints[:shown], len(hints))


def _seed(given: object) -> int:
    """Take the seed that the environment gives, or the notebook's."""
    if marked := os.environ.get(SEED):
        if not (marked.isascii() and marked.isdigit()):
            raise ConfigurationError(
                f"{SEED} must be a whole number; got {marked!r}.", variable=SEED
            )
        return int(marked)
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise ArgumentError(f"`seed` must be a whole number of at least 0; got {given!r}.")
    return given


def _progress(one: Lesson) -> str:
    done = sum(each.number in _desk.passed for each in one.exercises)
    return f"Lesson {one.number}: {done} of {len(one.exercises)} passed."


def _open_database(one: Lesson, name: str, facts: Any) -> None:
    """Make the lesson's own database anew, on the embedded server; another is never touched."""
    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.manager import get_db_manager

    config = DatabaseConfig(database=name, data_dir=os.environ.get("DB_DATA_DIR") or None)
    try:
        manager = get_db_manager(config)
    except ConfigurationError:  # the lesson before
        get_db_manager().close()
        manager = get_db_manager(config)
    manager.drop_all_tables()
    manager.create_all_tables()
    if one.prepare:
        one.prepare(facts)
