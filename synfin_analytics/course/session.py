"""A student's session: start a lesson, check answers, show hints."""

from __future__ import annotations

import html
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from synfin_analytics.course.lessons import get_lesson
from synfin_analytics.exceptions import ArgumentError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from synfin_analytics.course.lessons import Lesson

#: Seed of the student whose notebook is graded; takes precedence over the notebook's.
SEED_VARIABLE = "SYNFIN_EXERCISE_SEED"
CORRECT = "Correct."
#: Stripe at the left edge, readable in light and dark themes; the text says the same.
_PASSED_COLOUR, _FAILED_COLOUR, _HINT_COLOUR = "#2e8b57", "#c77700", "#4a7ab5"


@dataclass(frozen=True, repr=False)
class CheckResult:
    """Whether an answer is correct, and what is wrong with it; true if it is correct.

    Attributes
    ----------
    exercise
        Number of the exercise, such as "05.2".
    passed
        Whether the answer is correct.
    feedback
        What is wrong with the answer; never the correct one.
    progress
        Number of exercises of the lesson that have passed, as a sentence.

    Examples
    --------
    >>> CheckResult("05.2", True, "Correct.", "Lesson 05: 2 of 5 exercises passed.")
    05.2 passed: Correct.
    Lesson 05: 2 of 5 exercises passed.
    """

    exercise: str
    passed: bool
    feedback: str
    progress: str = ""

    def __bool__(self) -> bool:
        return self.passed

    @property
    def _status(self) -> str:
        return "passed" if self.passed else "not passed yet"

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dict."""
        return asdict(self)

    def __repr__(self) -> str:
        result = f"{self.exercise} {self._status}: {self.feedback}"
        return f"{result}\n{self.progress}" if self.progress else result

    def _repr_html_(self) -> str:
        symbol = "\N{CHECK MARK}" if self.passed else "\N{BULLET}"
        colour = _PASSED_COLOUR if self.passed else _FAILED_COLOUR
        title = f"{symbol} {self.exercise} {self._status}"
        return _box_html(title, [self.feedback], self.progress, colour)


@dataclass(frozen=True, repr=False)
class Hint:
    """The hints for an exercise that have been requested so far.

    Attributes
    ----------
    exercise
        Number of the exercise.
    shown
        The hints, the newest last.
    total
        Number of hints that the exercise has.

    Examples
    --------
    >>> Hint("05.1", ("Count the days.",), 3)
    Hint 1 of 3 for 05.1: Count the days.
    2 more hints: run hint("05.1") again.
    """

    exercise: str
    shown: tuple[str, ...]
    total: int

    @property
    def _remaining(self) -> str:
        remaining = self.total - len(self.shown)
        if not remaining:
            return "This was the last hint."
        noun = "hint" if remaining == 1 else "hints"
        return f'{remaining} more {noun}: run hint("{self.exercise}") again.'

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dict."""
        return asdict(self)

    def __repr__(self) -> str:
        lines = [
            f"Hint {number} of {self.total} for {self.exercise}: {text}"
            for number, text in enumerate(self.shown, 1)
        ]
        return "\n".join([*lines, self._remaining])

    def _repr_html_(self) -> str:
        lines = [f"{number} of {self.total}: {text}" for number, text in enumerate(self.shown, 1)]
        return _box_html(f"Hint for {self.exercise}", lines, self._remaining, _HINT_COLOUR)


def _box_html(title: str, lines: list[str], footer: str, colour: str) -> str:
    """Return a box as HTML; its text has the colour of the page."""
    paragraphs = "".join(
        f'<p style="margin:0.3em 0 0">{html.escape(line)}</p>' for line in lines if line
    )
    if footer:
        footer = f'<p style="margin:0.5em 0 0;font-size:90%">{html.escape(footer)}</p>'
    return (
        f'<div role="status" style="border-left:6px solid {colour};padding:0.5em 1em;'
        f'margin:0.3em 0;max-width:50em"><strong>{html.escape(title)}</strong>'
        f"{paragraphs}{footer}</div>"
    )


class LessonData:
    """The data of a lesson, each item as an attribute; the repr describes them.

    Parameters
    ----------
    title
        Lesson and seed.
    items
        Each item of the data with its description, by name.

    Examples
    --------
    >>> LessonData("Lesson 05, seed 7", {"threshold": (0.5, "scores from here on are alerts")})
    Lesson 05, seed 7
      .threshold: scores from here on are alerts
    """

    def __init__(self, title: str, items: Mapping[str, tuple[Any, str]]) -> None:
        self._title = title
        self._items = items

    def __getattr__(self, name: str) -> Any:
        items = self.__dict__.get("_items", {})
        if name not in items:
            raise AttributeError(f"Unknown name: {name!r}. Valid names: {', '.join(items)}.")
        return items[name][0]

    def __dir__(self) -> list[str]:
        return list(self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __repr__(self) -> str:
        lines = [f"  .{name}: {description}" for name, (_, description) in self._items.items()]
        return "\n".join([self._title, *lines])

    def _repr_html_(self) -> str:
        items = "".join(
            f"<li><code>.{html.escape(name)}</code>: {html.escape(description)}</li>"
            for name, (_, description) in self._items.items()
        )
        return f"<p><strong>{html.escape(self._title)}</strong></p><ul>{items}</ul>"


class _Session:
    """The started lessons of this process, the passed exercises, and the number of shown hints."""

    def __init__(self) -> None:
        self.seeds: dict[str, int] = {}
        self.passed: set[str] = set()
        self.hints: dict[str, int] = {}
        self.on_check: Callable[[str, object], None] | None = None


_session = _Session()


def on_check(callback: Callable[[str, object], None]) -> None:
    """Call a function with the exercise and the answer of every check in this process."""
    _session.on_check = callback


def start_lesson(number: str, seed: int = 1) -> LessonData:
    """Start a lesson, or restart it, and return its data.

    Parameters
    ----------
    number
        Number of the lesson, such as "05".
    seed
        Seed of the data: every seed gives different data.

    Returns
    -------
    LessonData
        The data, each item as an attribute. A lesson that uses a database gets its own on the
        embedded server, created anew; ``get_db_manager()`` then returns its manager.

    Raises
    ------
    NotFoundError
        There is no such lesson.
    ArgumentError
        The seed is not an integer of at least 0.
    ConfigurationError
        The seed in the environment, which takes precedence during grading, is not an integer.

    Examples
    --------
    >>> data = start_lesson("05", seed=7)
    >>> data.validation.columns.tolist()
    ['transaction_id', 'customer_id', 'timestamp', 'amount', 'score', 'is_fraud']
    """
    lesson = get_lesson(number)
    seed = _effective_seed(seed)
    facts = lesson.make_facts(seed)
    if lesson.database:
        _create_database(lesson, lesson.database, facts)
    _session.seeds[lesson.number] = seed
    for exercise in lesson.exercises:
        _session.passed.discard(exercise.number)
        _session.hints.pop(exercise.number, None)
    return LessonData(f"Lesson {lesson.number}, seed {seed}", lesson.student_data(facts))


def check(number: str, answer: object) -> CheckResult:
    """Check an answer and explain what is wrong with it.

    Parameters
    ----------
    number
        Number of the exercise, such as "05.2".
    answer
        A number, string, list, dict or table of any library.

    Returns
    -------
    CheckResult
        True in an ``if`` when the answer is correct.

    Raises
    ------
    NotFoundError
        There is no such exercise.
    ArgumentError
        The lesson has not been started.

    Examples
    --------
    >>> data = start_lesson("05", seed=7)
    >>> check("05.1", "a lot").feedback
    'Expected a number but got a string. Remove the quotes.'
    """
    lesson = get_lesson(number)
    exercise = lesson.exercise(number)
    if lesson.number not in _session.seeds:
        raise ArgumentError(
            f"Lesson {lesson.number} has not been started; run the cell with "
            f'start_lesson("{lesson.number}") first.'
        )
    if _session.on_check:
        _session.on_check(number, answer)
    facts = lesson.make_facts(_session.seeds[lesson.number])
    feedback = exercise.grader(facts).grade(answer)
    passed = feedback is None
    (_session.passed.add if passed else _session.passed.discard)(number)
    return CheckResult(number, passed, feedback or CORRECT, _progress(lesson))


def hint(number: str) -> Hint:
    """Show the next hint for an exercise, below those shown before.

    Parameters
    ----------
    number
        Number of the exercise, such as "05.2".

    Returns
    -------
    Hint
        The hints shown so far; it displays itself.

    Raises
    ------
    NotFoundError
        There is no such exercise.

    Examples
    --------
    >>> data = start_lesson("05", seed=7)
    >>> hint("05.2").shown
    ('Two things cost money: reviewing an alert, and fraud that is not recovered.',)
    """
    hints = get_lesson(number).exercise(number).hints
    n_shown = min(_session.hints.get(number, 0) + 1, len(hints))
    _session.hints[number] = n_shown
    return Hint(number, hints[:n_shown], len(hints))


def _effective_seed(seed: object) -> int:
    """Return the seed from the environment if it is set, else the notebook's."""
    if variable := os.environ.get(SEED_VARIABLE):
        if not (variable.isascii() and variable.isdigit()):
            raise ConfigurationError(
                f"{SEED_VARIABLE} must be an integer; got {variable!r}.", variable=SEED_VARIABLE
            )
        return int(variable)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ArgumentError(f"`seed` must be an integer of at least 0; got {seed!r}.")
    return seed


def _progress(lesson: Lesson[Any]) -> str:
    n_passed = sum(exercise.number in _session.passed for exercise in lesson.exercises)
    return f"Lesson {lesson.number}: {n_passed} of {len(lesson.exercises)} exercises passed."


def _create_database(lesson: Lesson[Any], name: str, facts: object) -> None:
    """Create the lesson's own database on the embedded server; no other database is affected."""
    from synfin_analytics.database.config import DatabaseConfig
    from synfin_analytics.database.manager import get_db_manager
    from synfin_analytics.io.load import load_df

    config = DatabaseConfig(database=name, data_dir=os.environ.get("DB_DATA_DIR") or None)
    try:
        manager = get_db_manager(config)
    except ConfigurationError:  # the manager of the previous lesson is open
        get_db_manager().close()
        manager = get_db_manager(config)
    manager.drop_all_tables()
    manager.create_all_tables()
    if lesson.tables:
        for table, df in lesson.tables(facts).items():
            load_df(df, table, progress=False)
