"""A returned notebook runs elsewhere, for so long, and gives nothing but answers."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import time
from decimal import Decimal
from pathlib import Path
from threading import Event

import numpy as np
import pandas as pd
import polars as pl
import psutil
import pyarrow as pa
import pytest
from classes import ANSWERS
from hypothesis import given

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.exercises.answers import Unknown, load, plain, save
from synfin_analytics.exercises.exercise import lesson
from synfin_analytics.exercises.returned import Cell
from synfin_analytics.exercises.running import MISSING, Limits, play

LESSON = lesson("05")
#: The answers' names: for_budget, cheapest, cost_on_test, hits_a_day, at_the_other_bank.
FIRST, SECOND, THIRD = "05.1", "05.2", "05.3"


def played(*sources, seconds=120, memory=8e9, stop=None, seed=3):
    """Run cells, of which the first answers the first exercise, and so on."""
    cells = [Cell(source, (f"05.{n}",)) for n, source in enumerate(sources, 1)]
    return play(cells, LESSON, seed, Limits(seconds, memory), stop)


def test_the_value_of_a_variable_after_its_cell_is_the_answer():
    done = played("for_budget = 1", "for_budget = 2\ncheapest = [1.5, 'a']")
    assert done.answers[FIRST] == 1
    assert done.answers[SECOND] == [1.5, "a"]
    assert done.answers[THIRD] is MISSING
    assert done.ending is None


def test_without_a_cell_of_its_own_the_value_at_the_end_is_the_answer():
    cells = [Cell("cheapest = 1"), Cell("cheapest = 2")]
    assert play(cells, LESSON, 3, Limits()).answers[SECOND] == 2


def test_an_error_ends_its_cell_only():
    done = played("for_budget = 1 / 0", "cheapest = 2", "exit()", "hits_a_day = 4", "if")
    assert done.errors[FIRST] == "ZeroDivisionError: division by zero"
    assert done.errors["05.5"].startswith("SyntaxError")
    assert done.answers[SECOND] == 2
    assert done.answers["05.4"] == 4
    assert done.ending is None


def test_the_data_are_those_of_the_seed_whatever_the_notebook_says():
    begin = "from synfin_analytics.exercises import begin\ndata = begin('05', seed=999)\n"
    done = played(f"{begin}for_budget = data.test[['transaction_id', 'score']]", seed=8)
    assert done.answers[FIRST].equals(LESSON.facts(8).test["transaction_id", "score"])


def test_an_endless_notebook_is_stopped_and_what_was_answered_before_stays():
    done = played("for_budget = 1", "while True: pass", seconds=5)
    assert done.ending == "Stopped after 5 seconds, in its code cell 2."
    assert done.answers[FIRST] == 1


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("import os; os._exit(0)", "ended Python"),
        ("import os; os.kill(os.getpid(), 9)", "was killed (SIGKILL)"),
        ("import ctypes; ctypes.string_at(0)", "was killed (SIGSEGV)"),
    ],
)
def test_a_notebook_that_ends_python_is_told_so(source, how):
    done = played("for_budget = 1", source)
    assert done.ending == f"The notebook {how} in its code cell 2."
    assert done.answers[FIRST] == 1


def test_a_notebook_that_takes_too_much_memory_is_stopped():
    done = played("import numpy, time; x = numpy.ones(150_000_000); time.sleep(60)", memory=9e8)
    assert done.ending == "Stopped because it took more than 0.9 GB of memory, in its code cell 1."


def test_what_a_notebook_prints_goes_nowhere_however_much_it_is(capfd):
    done = played("for _ in range(3000): print('passed ' * 10_000)\nfor_budget = 1")
    assert done.answers[FIRST] == 1
    assert capfd.readouterr() == ("", "")


def test_a_notebook_can_be_stopped_from_outside():
    stop = Event()
    stop.set()
    assert played("while True: pass", stop=stop).ending.startswith("Stopped by Ctrl-C")


def test_nothing_of_it_is_left_not_even_what_it_started():
    done = played(
        "import subprocess\n"
        "for_budget = subprocess.Popen(['sleep', '600'], start_new_session=True).pid\n"
        "cheapest = __import__('os').getcwd()"
    )
    while psutil.pid_exists(done.answers[FIRST]):
        time.sleep(0.05)
    assert not Path(done.answers[SECOND]).exists()


def test_it_knows_nothing_of_the_databases_of_whoever_marks(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://ana:secret@bank.invalid/fraud")
    monkeypatch.setenv("DB_PASSWORD", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    source = "import os\nfor_budget = [*os.environ.values()]\ncheapest = os.environ['DB_DATA_DIR']"
    done = played(source)
    assert not any("secret" in one for one in done.answers[FIRST])
    assert done.answers[SECOND] != os.environ["DB_DATA_DIR"]


@pytest.mark.parametrize(
    "forged",
    [
        "os.symlink('/etc/hostname', path)",
        "os.mkfifo(path)",
        "os.mkdir(path)",
        "open(path, 'w').write('{')",
        "open(path, 'w').write('[' * 100_000)",
        'open(path, "w").write(\'{"kind": "frame"}\')',
    ],
)
def test_a_forged_answer_is_no_answer(forged):
    done = played(f"import os\npath = '../answers/05.1.json'\n{forged}\nos._exit(0)")
    assert isinstance(done.answers[FIRST], ArgumentError)


# -- Answers from one process to another -----------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (np.float64(0.5), 0.5),
        (Decimal("0.5"), 0.5),
        (np.int8(3), 3),
        (np.bool_(True), True),
        (10**400, math.inf),
        (range(3), Unknown("range")),
        ({"b", "a"}, ["a", "b"]),
        (np.array([1, 2]), [1, 2]),
        ({dt.date(2026, 1, 5): 1, 2: 3}, {"2026-01-05": 1, "2": 3}),
        (pd.NaT, Unknown("NaTType")),
    ],
)
def test_an_answer_is_seen_in_its_plain_form(answer, seen):
    assert plain(answer) == seen


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key")),
        pd.Series([1, 2], index=pd.Index(["x", "y"], name="key"), name="a"),
        pl.DataFrame({"key": ["x", "y"], "a": [1, 2]}).lazy(),
        pa.table({"key": ["x", "y"], "a": [1, 2]}),
    ],
)
def test_a_table_of_any_library_is_one_of_polars(frame):
    assert plain(frame).rows() == [("x", 1), ("y", 2)]
    assert plain(frame).columns == ["key", "a"]


class Hostile:
    def __getattr__(self, name):
        raise RuntimeError("no")


def test_an_answer_that_fails_at_any_touch_is_unknown():
    assert plain(Hostile()) == Unknown("Hostile")


@given(answer=ANSWERS)
def test_an_answer_comes_back_as_it_was_laid_out(answer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    save(answer, folder, "one")
    assert load(folder, "one") == plain(answer)


def test_nan_and_tables_come_back_as_they_were_laid_out(tmp_path):
    table = pl.DataFrame({"at": [dt.date(2026, 1, 1), None], "x": [math.nan, 1.5]})
    save(math.nan, tmp_path, "nan")
    save(table, tmp_path, "table")
    save(print, tmp_path, "print")
    save([table], tmp_path, "list")
    assert math.isnan(load(tmp_path, "nan"))
    assert load(tmp_path, "table").equals(table)
    assert load(tmp_path, "print") == Unknown("builtin_function_or_method")
    assert load(tmp_path, "list")[0]["x"][1] == 1.5


def test_a_table_of_objects_is_unknown(tmp_path):
    save(pl.DataFrame({"x": pl.Series([object()], dtype=pl.Object)}), tmp_path, "one")
    assert load(tmp_path, "one") == Unknown("table of objects")


def test_an_answer_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    save("a" * 100, tmp_path, "one")
    monkeypatch.setattr("synfin_analytics.exercises.answers._LARGEST", 50)
    with pytest.raises(ArgumentError, match="too large"):
        load(tmp_path, "one")


@pytest.mark.parametrize("told", [5, [], {"kind": "value"}, {"kind": "value", "value": {"a": 1}}])
def test_files_that_are_none_of_ours_are_refused(tmp_path, told):
    (tmp_path / "one.json").write_text(json.dumps(told), encoding="utf-8")
    with pytest.raises(ArgumentError, match="cannot be read"):
        load(tmp_path, "one")
