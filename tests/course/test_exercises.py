"""Every exercise on the data of several students: correct answers pass, others get feedback."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import Any

import hypothesis
import jupytext
import polars as pl
import pytest
from classes import ANSWERS, TABLES, solution

from synfin_analytics.course import (
    CheckResult,
    Grader,
    Matching,
    Names,
    Number,
    Numbers,
    PerPayment,
    Table,
    check,
    get_lesson,
)
from synfin_analytics.course._answers import to_plain
from synfin_analytics.course.graders import NO_ANSWER, is_close
from synfin_analytics.course.lessons import LESSONS
from synfin_analytics.course.notebooks import build_notebook, read_exercise_notebook
from synfin_analytics.database.manager import get_db_manager

SEEDS = (3, 8)
EXERCISES = [
    (number, exercise.number) for number in LESSONS for exercise in get_lesson(number).exercises
]


@dataclass
class Solved:
    """The answers of a lesson's solutions, by exercise and seed, and the feedback on them."""

    answers: dict[tuple[str, int], Any]
    results: dict[tuple[str, int], CheckResult]


@pytest.fixture(scope="module")
def solved() -> Any:
    """Run the solutions of a lesson once for each seed, all cells in this process."""
    import matplotlib.pyplot as plt

    solutions: dict[str, Solved] = {}

    def run(number: str) -> Solved:
        if number not in solutions:
            results = Solved({}, {})
            for seed in SEEDS:
                run_seed(number, seed, results)
            plt.close("all")
            solutions[number] = results
        return solutions[number]

    yield run
    get_db_manager().close()


def run_seed(number: str, seed: int, into: Solved) -> None:
    space: dict[str, Any] = {}
    for cell in jupytext.read(solution(number)).cells:
        if cell.cell_type != "code":
            continue
        exec(cell.source.replace("seed=1)", f"seed={seed})"), space)
        if name := cell.metadata.get("exercise"):
            answer = space[get_lesson(number).exercise(name).answer]
            into.answers[name, seed] = to_plain(answer)
            into.results[name, seed] = check(name, answer)


@functools.cache
def grader_of(name: str, seed: int) -> Grader:
    lesson = get_lesson(name)
    return lesson.exercise(name).grader(lesson.make_facts(seed))


@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_the_solution_passes_for_every_seed(number, name, solved):
    for seed in SEEDS:
        result = solved(number).results[name, seed]
        assert result.passed, f"seed {seed}: {result.feedback}"


@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_an_empty_answer_does_not_pass(number, name):
    for empty_answer in (None, ..., [], {}, ""):
        assert grader_of(name, SEEDS[0]).grade(empty_answer) == NO_ANSWER


@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_the_correct_answer_of_another_student_does_not_pass(number, name, solved):
    answers = solved(number).answers
    for seed, other_seed in (SEEDS, SEEDS[::-1]):
        assert_refused(name, seed, answers[name, other_seed])


@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_a_typical_mistake_has_its_own_feedback(number, name):
    recognized, all_feedback = set(), set()
    for seed in SEEDS:
        grader = grader_of(name, seed)
        for feedback, answer in mistakes(grader):
            all_feedback.add(feedback)
            actual = grader.grade(answer)
            if actual is not None:  # by chance it may give the correct number
                assert_refused(name, seed, answer)
                recognized |= {feedback} if feedback in actual else set()
    assert recognized == all_feedback, (
        "a mistake that no seed tells from the truth, or from another"
    )
    assert len(recognized) >= 2


def mistakes(grader: Grader) -> list[tuple[str, Any]]:
    """The feedback on a mistake, and the answer that the mistake gives."""
    if isinstance(grader, Matching):
        thing = next(iter(grader.truth))
        wrong = [name for name in grader.options if name != grader.truth[thing]]
        return [(grader.wrong_name_feedback[name], {**grader.truth, thing: name}) for name in wrong]
    return list(grader.mistakes.items())


NONSENSE = [0.5, -1, 0, True, float("nan"), "C000001", [1, 2], print, {"a": 1}, pl.DataFrame()]


@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_nonsense_gets_feedback(number, name):
    for answer in NONSENSE:
        assert_refused(name, SEEDS[0], answer)


@pytest.mark.parametrize(("number", "name"), EXERCISES)
def test_an_answer_of_any_shape_gets_feedback(number, name):
    grader = grader_of(name, SEEDS[0])

    @hypothesis.settings(max_examples=25)
    @hypothesis.given(answer=ANSWERS | TABLES)
    def judged(answer):
        words = grader.grade(answer)
        assert words is None or words[-1] in ".?"

    judged()


def assert_refused(name: str, seed: int, answer: Any) -> None:
    """Assert that an answer fails, with feedback in sentences that do not contain the solution."""
    grader = grader_of(name, seed)
    feedback = grader.grade(answer)
    assert feedback is not None
    assert feedback[-1] in ".?"
    answer_text = (
        "" if isinstance(grader, PerPayment) else json.dumps(to_plain(answer), default=str)
    )
    allowed = numbers_in(answer_text) | numbers_in(" ".join(same_for_all(name)))
    for number in numbers_in(feedback) - allowed:
        for truth in truths(grader):
            assert not is_told(number, truth), f"gives {truth} away: {feedback}"
    for correct_name in names(grader):
        assert f" {correct_name} " not in feedback, f"gives {correct_name} away: {feedback}"


def numbers_in(text: str) -> set[float]:
    return {
        float(digits.replace(",", "")) for digits in re.findall(r"\d(?:[\d,]*\d)?(?:\.\d+)?", text)
    }


def same_for_all(name: str) -> set[str]:
    """Return texts that are the same on all data, and so cannot reveal the answer on these."""
    first, second = (texts(grader_of(name, seed)) for seed in SEEDS)
    return first & second


def texts(grader: Grader) -> set[str]:
    return {getattr(grader, "task", ""), *getattr(grader, "mistakes", {})}


def truths(grader: Grader) -> list[float]:
    if isinstance(grader, Number):
        return [grader.truth]
    if isinstance(grader, Numbers):
        return [part.truth for part in grader.parts.values()]
    if isinstance(grader, Table):
        columns = [grader.truth[value].to_list() for value in grader.values]
        return [float(value) for column in columns for value in column]
    return []


def names(grader: Grader) -> set[str]:
    """Return correct names that would reveal the solution, where it is one of many."""
    return set(grader.truth) if isinstance(grader, Names) and len(grader.truth) == 1 else set()


def is_told(number: float, truth: float) -> bool:
    """Whether a number in a text is the truth, exact or rounded, as a share or in percent."""
    return truth != 0 and any(is_close(number, factor * truth, 5e-3) for factor in (1, 100, 10_000))


# -- The notebooks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", LESSONS)
def test_an_exercise_notebook_is_built_from_its_solutions(number):
    assert read_exercise_notebook(number) == build_notebook(solution(number)), (
        "run: synfin class build"
    )


@pytest.mark.parametrize("number", LESSONS)
def test_an_exercise_notebook_contains_no_line_of_a_solution(number):
    exercise_text = "\n".join(
        line
        for cell in json.loads(read_exercise_notebook(number))["cells"]
        for line in cell["source"].split("\n")
    )
    shared_text = "\n".join(
        cell.source
        for cell in jupytext.read(solution(number)).cells
        if "exercise" not in cell.metadata
    )
    for cell in jupytext.read(solution(number)).cells:
        lines = cell.source.split("\n") if "exercise" in cell.metadata else []
        for line in lines:
            code = line.strip()
            is_solution = code and not code.startswith(("#", "check(")) and code not in shared_text
            if is_solution and len(code) > 8:
                assert code not in exercise_text


@pytest.mark.parametrize("number", LESSONS)
def test_each_exercise_has_a_cell_to_fill_in_followed_by_a_cell_for_hints(number):
    cells = json.loads(read_exercise_notebook(number))["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    position = {cell["metadata"].get("exercise"): place for place, cell in enumerate(cells)}
    for exercise in get_lesson(number).exercises:
        fill, hints = (cells[position[exercise.number] + step]["source"] for step in (0, 1))
        # Jupyter displays the value of the last line of a cell.
        assert fill.endswith(
            f'{exercise.answer} = ...\n\ncheck("{exercise.number}", {exercise.answer})'
        )
        assert hints.startswith(f'# hint("{exercise.number}")')
