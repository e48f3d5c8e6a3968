"""A class: assigned notebooks, and the grading of submissions."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest
from classes import Notebook, sources
from click.testing import CliRunner

from synfin_analytics.cli import main
from synfin_analytics.course import (
    Grade,
    Gradebook,
    RosterEntry,
    assign_notebooks,
    get_lesson,
    notebooks,
    read_roster,
    read_students,
)
from synfin_analytics.course.grading import (
    NOT_SUBMITTED,
    Cell,
    foreign_seeds,
    grade_submission,
    read_cells,
    read_submission,
    suspicious_code,
    unexpected_notebooks,
)
from synfin_analytics.course.lessons import LESSONS
from synfin_analytics.course.roster import ROSTER, name_fault, student_seed
from synfin_analytics.exceptions import ArgumentError, NotFoundError

FILE = "01_first_steps.ipynb"


def grade(folder, entry, roster=()):
    return grade_submission(read_submission(folder, entry), roster=roster)


def synfin(*arguments, code=0):
    result = CliRunner().invoke(main, list(map(str, arguments)), prog_name="synfin")
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def students(tmp_path):
    path = tmp_path / "students.csv"
    path.write_text("student\nana\nben\n", encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "class"


# -- Assign notebooks ------------------------------------------------------------------------------


def test_each_student_receives_each_lesson_with_their_own_data(students, folder):
    synfin("class", "assign", students, "--out", folder, "--seed", 2026)

    for student in ("ana", "ben"):
        texts = {path.stem[:2]: path.read_text("utf-8") for path in (folder / student).iterdir()}
        assert texts.keys() == LESSONS.keys()
        for number, text in texts.items():
            started = re.findall(r"start_lesson\(\\\"(\d\d)\\\", seed=(\d+)\)", text)
            assert started == [(number, str(student_seed(2026, student)))]


def test_an_assigned_notebook_differs_from_the_packaged_one_only_in_its_seed(students, folder):
    synfin("class", "assign", students, "--out", folder, "--lesson", "5", "--seed", 1)

    (path,) = (folder / "ana").iterdir()
    seed = str(student_seed(1, "ana"))
    assert path.read_text("utf-8").replace(
        f"seed={seed}", "seed=1"
    ) == notebooks.read_exercise_notebook("05")


def test_the_roster_lists_the_seeds(students, folder):
    synfin("class", "assign", students, "--out", folder, "--lesson", "05", "--seed", 7)

    assert (folder / ROSTER).read_text("utf-8").splitlines() == [
        "student,lesson,seed",
        f"ana,05,{student_seed(7, 'ana')}",
        f"ben,05,{student_seed(7, 'ben')}",
    ]


def test_student_seeds_are_reproducible_and_far_apart():
    seeds = [student_seed(class_seed, f"s{n}") for class_seed in (1, 2) for n in range(200)]
    assert len(set(seeds)) == len(seeds)
    assert all(len(str(seed)) == 9 for seed in seeds)
    assert seeds[0] == student_seed(1, "s0")


def test_each_class_gets_a_random_seed_by_default(tmp_path):
    drawn = {
        assign_notebooks(["ana"], tmp_path / str(n), lessons=["05"]).class_seed for n in range(3)
    }
    assert len(drawn) == 3


def test_existing_notebooks_are_kept_and_reported(students, folder):
    synfin("class", "assign", students, "--out", folder, "--lesson", "01", "--seed", 1)
    work = folder / "ana" / FILE
    work.write_text("my work", encoding="utf-8")
    roster = (folder / ROSTER).read_text("utf-8")

    output = synfin(
        "class", "assign", students, "--out", folder, "--lesson", "01", "--seed", 2
    ).stdout

    assert f"unchanged: {work}" in output
    assert "0 notebooks" in output
    assert work.read_text("utf-8") == "my work"
    assert (folder / ROSTER).read_text("utf-8") == roster


def test_replace_writes_new_notebooks_with_new_data(students, folder):
    assign_notebooks(["ana"], folder, lessons=["01"], seed=1)
    (folder / "ana" / FILE).write_text("my work", encoding="utf-8")

    synfin("class", "assign", students, "--out", folder, "--lesson", 1, "--seed", 2, "--replace")

    assert f"seed={student_seed(2, 'ana')}" in (folder / "ana" / FILE).read_text("utf-8")
    assert read_roster(folder / ROSTER)[0] == RosterEntry("ana", "01", student_seed(2, "ana"))


def test_students_and_lessons_are_added_to_a_class(folder):
    assign_notebooks(["ana"], folder, lessons=["01"], seed=1)
    assign_notebooks(["ana", "ben"], folder, lessons=["01", "05"], seed=2)

    assert read_roster(folder / ROSTER) == [
        RosterEntry("ana", "01", student_seed(1, "ana")),
        RosterEntry("ana", "05", student_seed(2, "ana")),
        RosterEntry("ben", "01", student_seed(2, "ben")),
        RosterEntry("ben", "05", student_seed(2, "ben")),
    ]


def test_a_lost_notebook_is_assigned_again_on_the_same_data(folder):
    assign_notebooks(["ana"], folder, lessons=["01"], seed=1)
    (folder / "ana" / FILE).unlink()
    assign_notebooks(["ana"], folder, lessons=["01"], seed=2)
    assert f"seed={student_seed(1, 'ana')}" in (folder / "ana" / FILE).read_text("utf-8")


def test_a_notebook_outside_the_roster_raises_before_anything_is_written(folder):
    assign_notebooks(["ana"], folder, lessons=["01"], seed=1)
    (folder / ROSTER).unlink()
    with pytest.raises(ArgumentError, match=r"its seed is not in roster\.csv"):
        assign_notebooks(["ben", "ana"], folder, lessons=["01"], seed=1)
    assert [path.name for path in folder.iterdir()] == ["ana"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"must have the column 'student' in its first line; got an empty file"),
        ("name\nana\n", r"must have the column 'student' in its first line; got name"),
        ("student\n", r"must name at least one student; got none"),
        ("student\nana\n../eve\n", r"line 3: the student's name must consist of .* got '\.\./eve'"),
        ("student\n=1+1\n", r"line 2: the student's name must consist of .* got '=1\+1'"),
        ("student,group\n,1\n", r"line 2: the student's name must not be empty"),
        ("student\nana\nAna\n", r"line 3: .* must differ .* got 'Ana', and 'ana' in line 2"),
    ],
)
def test_an_invalid_class_list_raises_a_clear_error(students, folder, text, message):
    students.write_text(text, encoding="utf-8")
    output = synfin("class", "assign", students, "--out", folder, code=1).stderr
    assert re.search(message, output)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("roster.csv", "must not end with .csv"),
        ("Marks.CSV", "must not end with .csv"),
        ("01_first_steps.ipynb", "must not end with .ipynb"),
        ("ana.", "must not end with ."),
        ("CON", "must not be the name of a Windows device"),
        ("lpt1.x", "must not be the name of a Windows device"),
        ("", "must not be empty"),
        ("..", "must consist of letters"),
        ("a/b", "must consist of letters"),
        ("a\\b", "must consist of letters"),
        ("-rf", "must consist of letters"),
        ("a\u202eb", "must consist of letters"),
        ("a" * 65, "must have at most 64 characters; got 65"),
        ("\U00020000" * 64, "must have at most 64 characters"),
    ],
)
def test_a_name_that_cannot_be_a_folder_is_rejected(name, fault, folder):
    assert name_fault(name).startswith(fault)
    with pytest.raises(ArgumentError, match=re.escape(fault)):
        assign_notebooks([name], folder, lessons=["01"], seed=1)
    assert not folder.exists()


@pytest.mark.parametrize(
    "pair", [("ana", "ANA"), ("Stra\u00dfe", "STRASSE"), ("\uff41na", "ana"), ("\u00e9", "\u00c9")]
)
def test_names_that_some_file_systems_treat_as_equal_are_rejected(pair, folder, students):
    students.write_text("student\n{}\n{}\n".format(*pair), "utf-8")
    with pytest.raises(ArgumentError, match="must differ by more than case"):
        read_students(students)
    assign_notebooks([pair[0]], folder, lessons=["01"], seed=1)
    with pytest.raises(ArgumentError, match="must differ by more than case"):
        assign_notebooks([pair[1]], folder, lessons=["05"], seed=1)


def test_a_name_is_equal_in_both_unicode_forms(students):
    students.write_text("student\nJose\u0301\n", encoding="utf-8")
    assert read_students(students) == ["Jos\u00e9"]


def test_a_file_in_place_of_a_folder_raises(folder):
    folder.mkdir()
    (folder / "ana").write_text("notes")
    with pytest.raises(ArgumentError, match="ana must be a folder or not exist; it is a file"):
        assign_notebooks(["ana"], folder, lessons=["01"], seed=1)
    assert not (folder / ROSTER).exists()


def test_a_class_list_saved_by_a_spreadsheet_is_read(students):
    students.write_text(
        "\ufeffname;student\r\nAna L.;a.lopez@uni\r\nBen;7\r\n;\r\n", encoding="utf-8"
    )
    assert read_students(students) == ["a.lopez@uni", "7"]


def test_a_class_list_that_is_missing_or_not_utf8_raises_a_clear_error(students):
    students.write_bytes(b"student\nJos\xe9\n")
    with pytest.raises(ArgumentError, match="must be encoded in UTF-8"):
        read_students(students)
    students.unlink()
    with pytest.raises(ArgumentError, match="cannot be read: No such file"):
        read_students(students)


def test_an_unknown_lesson_raises(folder):
    with pytest.raises(NotFoundError, match="no lesson '99'"):
        assign_notebooks(["ana"], folder, lessons=["99"])
    assert not folder.exists()


def test_a_roster_saved_by_a_spreadsheet_is_read(folder):
    assign_notebooks(["ana"], folder, lessons=["05"], seed=1)
    path = folder / ROSTER
    path.write_text(path.read_text("utf-8").replace(",", ";").replace("05", "5"), "utf-8")
    assert read_roster(path) == [RosterEntry("ana", "05", student_seed(1, "ana"))]


@pytest.mark.parametrize("line", ["ana,99,5", "ana,05,x", "../ana,05,5", "ana"])
def test_an_edited_roster_is_rejected(folder, line):
    assign_notebooks(["ana"], folder, lessons=["05"], seed=1)
    with (folder / ROSTER).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(ArgumentError, match="line 3: must be as `synfin class assign` wrote it"):
        read_roster(folder / ROSTER)


def test_build_produces_the_stored_notebooks(tmp_path, monkeypatch):
    output = synfin("class", "build").stdout
    assert output.count("unchanged") == len(LESSONS)

    monkeypatch.setattr(notebooks, "_CHECKOUT", tmp_path)
    with pytest.raises(ArgumentError, match="must run in a checkout"):
        [*notebooks.build_notebooks()]


# -- Read and grade submissions --------------------------------------------------------------------


@pytest.fixture
def notebook(folder):
    assign_notebooks(["ana"], folder, lessons=["01"], seed=1)
    return Notebook(folder / "ana" / FILE)


def answered(notebook):
    cells = read_cells(notebook.path, get_lesson("01"))
    return {number: cell.source for cell in cells for number in cell.exercises}


def test_metadata_identify_the_cell_of_an_exercise(notebook):
    notebook.answer("01.3", "rate = 0.5")
    assert answered(notebook)["01.3"] == "rate = 0.5"


def test_without_metadata_the_call_of_check_identifies_the_cell(notebook):
    notebook.answer("01.3", "rate = 0.5\ncheck('01.3', rate)")
    notebook.cell("01.3")["metadata"] = None
    notebook.save()
    assert answered(notebook)["01.3"].startswith("rate = 0.5")


def test_the_last_of_several_cells_for_an_exercise_counts(notebook):
    cell = notebook.cell("01.3")
    notebook.content["cells"].append({**cell, "source": "rate = 2"})
    notebook.save()
    assert answered(notebook)["01.3"] == "rate = 2"


def test_metadata_without_an_exercise_are_ignored(notebook):
    for number, name in (("01.1", "09.9"), ("01.2", 5), ("01.3", ["01.1"])):
        notebook.cell(number)["metadata"] = {"exercise": name}
    notebook.save()
    assert answered(notebook).keys() == {f"01.{n}" for n in range(1, 6)}  # by their calls of check


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"cells": 5}',
        '{"cells": [{"cell_type": "code"}]}',
        '{"cells": [{"cell_type": "code", "source": [5]}]}',
        '{"cells": [{"cell_type": "code", "source": {}}]}',
        '{"worksheets": []}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_not_a_notebook_is_listed_as_such(notebook, folder, content):
    notebook.path.write_text(content, encoding="utf-8")
    for result in grade(folder, RosterEntry("ana", "01", 1)):
        assert not result.passed
        assert result.feedback.startswith("The file is not a notebook")


def test_a_file_that_is_not_text_or_too_large_is_reported_as_such(notebook, folder, monkeypatch):
    notebook.path.write_bytes(b"\xff\xfe\x00")
    assert grade(folder, RosterEntry("ana", "01", 1))[0].feedback.startswith(
        "The file is not a notebook"
    )
    monkeypatch.setattr("synfin_analytics.course.grading._MAX_NOTEBOOK_BYTES", 2)
    assert grade(folder, RosterEntry("ana", "01", 1))[0].feedback.startswith(
        "The file is larger than"
    )


def test_an_answer_on_which_a_grader_fails_does_not_stop_grading(notebook, folder, monkeypatch):
    def fail(seed):
        raise IndexError(seed)

    lesson = dataclasses.replace(get_lesson("01"), make_facts=fail)
    monkeypatch.setattr("synfin_analytics.course.grading.get_lesson", lambda _: lesson)
    notebook.content["cells"] = []
    notebook.insert_first("n_unlabelled = 1")
    feedback = [result.feedback for result in grade(folder, RosterEntry("ana", "01", 1))]
    assert feedback[0] == "This answer cannot be graded automatically (IndexError)."
    assert feedback[1] == "The variable 'top_five' is not defined."


def test_a_notebook_that_was_not_returned_is_listed_as_such(notebook, folder):
    notebook.path.rename(folder / "elsewhere")
    notebook.path.symlink_to(folder / "elsewhere")  # the target of a link was not submitted
    results = grade(folder, RosterEntry("ana", "01", 1))
    assert [(result.exercise, result.feedback) for result in results] == [
        (f"01.{n}", NOT_SUBMITTED) for n in range(1, 6)
    ]


def test_unexpected_notebooks_are_reported(notebook, folder):
    for name in ("ana/01_first_steps (1).ipynb", "zoe/x.ipynb", "ana/.ipynb_checkpoints/y.ipynb"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    paths = [*unexpected_notebooks(folder, read_roster(folder / ROSTER))]
    assert paths == ["ana/01_first_steps (1).ipynb", "zoe/x.ipynb"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def check(number, answer):\n    print('passed')", "defines its own `check`"),
        ("check = print", "defines its own `check`"),
        ("from mine import right as check", "defines its own `check`"),
        ("from synfin_analytics.course._exercise import lesson", "accesses the graders"),
        ("import os; os.environ.pop('SYNFIN_EXERCISE_SEED')", "accesses the graders"),
        ("answer = one.grader(facts).truth", "accesses the graders"),
        ("from synfin_analytics import course", "accesses the graders"),
    ],
)
def test_a_teacher_sees_what_to_review(notebook, source, message):
    notebook.insert_first(source)
    (note,) = suspicious_code(read_cells(notebook.path, get_lesson("01")))
    assert message in note


@pytest.mark.parametrize("number", LESSONS)
def test_an_assigned_notebook_needs_no_review(folder, number):
    assign_notebooks(["ana"], folder, lessons=[number], seed=1)
    path = folder / RosterEntry("ana", number, 1).path
    cells = read_cells(path, get_lesson(number))
    assert suspicious_code(cells) == []
    answers = [exercise for cell in cells for exercise in cell.exercises]
    assert answers == [exercise.number for exercise in get_lesson(number).exercises]


ROSTER_OF_TWO = [RosterEntry("ana", "01", 111_222_333), RosterEntry("ben", "01", 444_555_666)]


@pytest.mark.parametrize(
    ("source", "messages"),
    [
        ('start_lesson("01", seed=444555666)', ["contains the seed of ben"]),
        ("start_lesson('01', 444_555_666)", ["contains the seed of ben"]),
        ("mine = 444555666\nstart_lesson('01', seed=mine)", ["contains the seed of ben"]),
        ('start_lesson("01", seed=1)', ["starts with a seed that was not assigned"]),
        ('start_lesson("01", seed=111222333)', []),
        ("x = 1.444555666; y = 14445556660", []),
    ],
)
def test_the_seed_of_another_student_is_reported(source, messages):
    notes = foreign_seeds([Cell(source)], ROSTER_OF_TWO[0], ROSTER_OF_TWO)
    assert len(notes) == len(messages)
    for expected, note in zip(messages, notes, strict=True):
        assert expected in note


GRADE = Grade("ana", "01", "01.1", True, "Correct.")


def test_the_gradebook_restores_a_file_that_another_program_changed(tmp_path):
    gradebook = Gradebook(tmp_path / "grades.csv")
    gradebook.add([GRADE])
    right = gradebook.path.read_bytes()
    assert not gradebook.was_modified
    gradebook.path.write_bytes(right.replace(b"True", b"False"))
    gradebook.add([])
    assert gradebook.was_modified
    assert gradebook.path.read_bytes() == right


def test_a_link_or_folder_in_place_of_the_grades_file_loses_no_grades(tmp_path):
    notes = tmp_path / "notes"
    notes.write_text("dear notes", "utf-8")
    gradebook = Gradebook(tmp_path / "grades.csv")
    gradebook.path.unlink()
    gradebook.path.symlink_to(notes)
    gradebook.add([GRADE])
    assert notes.read_text("utf-8") == "dear notes"
    assert "Correct." in gradebook.path.read_text("utf-8")

    gradebook.path.unlink()
    (gradebook.path / "in the way").mkdir(parents=True)
    gradebook.add([GRADE])
    assert gradebook.path != tmp_path / "grades.csv"
    assert gradebook.path.read_text("utf-8").count("Correct.") == 2


def test_half_a_surrogate_in_an_answer_can_be_written(notebook, folder, tmp_path):
    notebook.content["cells"] = []
    notebook.insert_first(r"top_five = {'\ud83d': 1}; rate = '\ud83d'")
    gradebook = Gradebook(tmp_path / "grades.csv")
    gradebook.add(grade(folder, RosterEntry("ana", "01", 1)))
    assert len(gradebook.path.read_text("utf-8").splitlines()) == 6


def test_both_the_checked_answer_and_the_variable_count(folder):
    assign_notebooks(["ana"], folder, lessons=["05"], seed=1)
    entry = RosterEntry("ana", "05", student_seed(1, "ana"))
    notebook = Notebook(folder / entry.path).solve()
    cell = sources("05")["05.1"]
    name = get_lesson("05").exercise("05.1").answer
    notebook.answer("05.1", f"{cell}\nright = {name}\ndel {name}\ncheck('05.1', [right])")
    notebook.answer("05.2", f"{sources('05')['05.2']}\ncheck('05.2', 5)")
    assert [result.passed for result in grade(folder, entry)] == [True] * 5


def test_grades_replace_an_existing_file_only_on_request(notebook, folder, tmp_path):
    out = tmp_path / "grades.csv"
    out.write_text("dear notes", encoding="utf-8")
    assert (
        "use --overwrite to replace it"
        in synfin("class", "grade", folder, "--out", out, code=1).stderr
    )
    assert out.read_text("utf-8") == "dear notes"


def test_a_lesson_that_was_not_assigned_is_not_graded(notebook, folder, tmp_path):
    out = tmp_path / "grades.csv"
    output = synfin("class", "grade", folder, "--out", out, "--lesson", "05", code=1).stderr
    assert "No student in the roster has lesson 05" in output
    assert not out.exists()


def test_grading_without_ipython_names_the_missing_package(notebook, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", None)
    output = synfin("class", "grade", folder, "--out", tmp_path / "grades.csv", code=1).stderr
    assert "Grading notebooks requires the package 'IPython'" in output
    assert 'pip install "synfin-analytics[notebooks]"' in output


# -- A class from end to end -----------------------------------------------------------------------

CHEAT = """
import synfin_analytics.course

def cheat(number, answer):
    print("01.1 passed: Correct.")

synfin_analytics.course.check = cheat
"""


def test_each_notebook_is_graded_on_its_own_data_whatever_it_contains(tmp_path, folder):
    """One is correct, others are copied in part, empty, cheating or damaged."""
    students = tmp_path / "students.csv"
    students.write_text("student\nana\nben\ncleo\ndan\neve\nfay\n", encoding="utf-8")
    synfin("class", "assign", students, "--out", folder, "--lesson", "01", "--seed", 2026)
    ana, ben, dan, eve, fay = (
        Notebook(folder / name / FILE) for name in ("ana", "ben", "dan", "eve", "fay")
    )
    ana.solve()
    facts = get_lesson("01").make_facts(student_seed(2026, "ana"))
    truth = {
        exercise.number: exercise.grader(facts).truth for exercise in get_lesson("01").exercises
    }
    ben.solve()
    ben.answer("01.1", f"n_unlabelled = {truth['01.1']:.0f}")
    ben.answer("01.2", f"top_five = {dict(truth['01.2'].iter_rows())}")
    ben.answer("01.3", f"rate = {truth['01.3']!r}")
    seeds = [str(student_seed(2026, name)) for name in ("ana", "dan")]
    text = dan.path.read_text("utf-8").replace(seeds[1], seeds[0])
    dan.path.write_text(text, encoding="utf-8")
    rewrite = f"open({str(tmp_path / 'grades.csv')!r}, 'w').write('dan,01,01.1,True,')"
    Notebook(dan.path).insert_first(rewrite).insert_first(CHEAT).answer(
        "01.4", "import os\nos._exit(0)"
    )
    eve.path.write_text(json.dumps(eve.content)[:-100], encoding="utf-8")
    fay.path.rename(fay.path.with_name("my solution.ipynb"))
    out = tmp_path / "grades.csv"

    result = synfin("class", "grade", folder, "--out", out, "--jobs", 2, "--time-limit", 250)

    with out.open(encoding="utf-8-sig", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert len(rows) == 6 * 5
    passed = {(row["student"], row["exercise"]) for row in rows if row["passed"] == "True"}
    # Ben typed three of Ana's numbers; his code for the others is correct on his own data.
    assert passed == {("ana", f"01.{n}") for n in range(1, 6)} | {("ben", "01.4"), ("ben", "01.5")}
    feedback = {(row["student"], row["exercise"]): row["feedback"] for row in rows}
    assert feedback["cleo", "01.3"].startswith("There is no answer yet")
    assert feedback["dan", "01.1"].startswith("There is no answer yet")
    assert feedback["dan", "01.5"].startswith("The notebook ended Python in code cell")
    assert "accesses the graders" in feedback["dan", "01.1"]
    assert "contains the seed of ana" in feedback["dan", "01.1"]
    assert feedback["eve", "01.1"].startswith("The file is not a notebook")
    assert feedback["fay", "01.1"] == NOT_SUBMITTED
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[:3] == ["student 01 passed", "ana 5/5 5", "ben 2/5 2"]
    assert "fay: nothing submitted" in lines
    assert any(line.startswith("eve, lesson 01: The file is not a notebook") for line in lines)
    assert f"not in the roster: {folder / 'fay' / 'my solution.ipynb'}" in result.stderr
    assert f"while notebooks ran, and rewritten: {out}" in result.stderr


# -- docs/guide/teaching.md ------------------------------------------------------------------------


def test_the_code_of_the_teaching_guide_runs_and_its_lesson_works(capsys):
    text = (Path(__file__).parents[2] / "docs" / "guide" / "teaching.md").read_text("utf-8")
    space = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "teaching.md", "exec"), space)

    output = capsys.readouterr().out.splitlines()
    assert output[0] == "That is of the value. Count payments."
    assert output[1].startswith("This is in percent. Expected a share")
    lesson = space["LESSON"]
    payments = lesson.student_data(lesson.make_facts(1))["payments"][0]
    grader = lesson.exercise("11.1").grader(lesson.make_facts(1))
    assert grader.grade(payments["is_online"].mean()) is None
    assert (
        grader.grade(payments["is_online"].sum())
        == "This is their number. Divide it by that of all."
    )
