"""A submitted notebook runs in a separate process, for a limited time, and returns only answers."""

from __future__ import annotations

import contextlib
import ctypes
import datetime as dt
import json
import math
import os
import subprocess
import sys
import tempfile
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
from polars.testing import assert_frame_equal

from synfin_analytics.course import _answers, _runner, _sandbox, get_lesson
from synfin_analytics.course._answers import UnsupportedAnswer, load_answers, save_answer, to_plain
from synfin_analytics.course._runner import KILLED_SUPERVISOR, MISSING, Cell, Limits, run_notebook
from synfin_analytics.exceptions import ArgumentError

LESSON = get_lesson("05")
#: Exercises with the answers budget_threshold, cheapest_threshold and cost_on_test.
FIRST, SECOND, THIRD = "05.1", "05.2", "05.3"


def run(*sources, seconds=120, memory=8e9, stop=None, seed=3):
    """Run cells: the first answers the first exercise, and so on."""
    cells = [Cell(source, (f"05.{n}",)) for n, source in enumerate(sources, 1)]
    return run_notebook(cells, LESSON, seed, Limits(seconds, memory), stop)


def test_the_value_of_a_variable_after_its_cell_is_the_answer():
    result = run("budget_threshold = 1", "budget_threshold = 2\ncheapest_threshold = [1.5, 'a']")
    assert result.answers[FIRST] == 1
    assert result.answers[SECOND] == [1.5, "a"]
    assert result.answers[THIRD] is MISSING
    assert result.ending is None


def test_without_its_own_cell_the_value_at_the_end_is_the_answer():
    cells = [Cell("cheapest_threshold = 1"), Cell("cheapest_threshold = 2")]
    assert run_notebook(cells, LESSON, 3, Limits()).answers[SECOND] == 2


def test_an_error_ends_only_its_cell():
    result = run(
        "budget_threshold = 1 / 0", "cheapest_threshold = 2", "exit()", "card_precision = 4", "if"
    )
    assert result.errors[FIRST] == "ZeroDivisionError: division by zero"
    assert result.errors["05.5"].startswith("SyntaxError")
    assert result.answers[SECOND] == 2
    assert result.answers["05.4"] == 4
    assert result.ending is None


def test_the_data_are_those_of_the_seed_whatever_the_notebook_contains():
    begin = (
        "from synfin_analytics.course import start_lesson\ndata = start_lesson('05', seed=999)\n"
    )
    result = run(f"{begin}budget_threshold = data.test[['transaction_id', 'score']]", seed=8)
    expected = LESSON.make_facts(8).test["transaction_id", "score"]
    assert_frame_equal(result.answers[FIRST], expected)  # last digits differ between processes


def test_an_endless_notebook_is_stopped_and_earlier_answers_are_kept():
    result = run("budget_threshold = 1", "while True: pass", seconds=5)
    assert result.ending == "Stopped after 5 seconds, in code cell 2."
    assert result.answers[FIRST] == 1


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("import os; os._exit(0)", "ended Python"),
        ("import os; os.kill(os.getpid(), 9)", "was killed (SIGKILL)"),
        ("import ctypes; ctypes.string_at(0)", "was killed (SIGSEGV)"),
    ],
)
def test_a_notebook_that_ends_python_is_reported(source, how):
    result = run("budget_threshold = 1", source)
    assert result.ending == f"The notebook {how} in code cell 2."
    assert result.answers[FIRST] == 1


def test_a_notebook_that_takes_too_much_memory_is_stopped():
    result = run("import numpy, time; x = numpy.ones(150_000_000); time.sleep(60)", memory=9e8)
    assert result.ending == "Stopped because it used more than 0.9 GB of memory, in code cell 1."


def test_printed_output_is_discarded_whatever_its_size(capfd):
    result = run("for _ in range(3000): print('passed ' * 10_000)\nbudget_threshold = 1")
    assert result.answers[FIRST] == 1
    assert capfd.readouterr() == ("", "")


def test_a_notebook_can_be_stopped_from_outside():
    stop = Event()
    stop.set()
    assert run("while True: pass", stop=stop).ending.startswith("Stopped by Ctrl-C")


# -- What a malicious notebook can access ----------------------------------------------------------


def has_namespaces():
    """Whether this system allows namespaces for this user."""
    return _sandbox.namespaces_available([Path(tempfile.gettempdir())])


NAMESPACES = has_namespaces()


@pytest.fixture(params=[True, False], ids=["namespaces", "without"])
def apart(request, monkeypatch):
    """Run notebooks in namespaces, if the system has them, and without."""
    monkeypatch.setattr(_runner, "_USE_NAMESPACES", request.param)
    return request.param


#: Sleeps so long that no other process has it among its arguments.
SLEEP = "86399"


def left_behind():
    """Return the processes of notebooks that are still running."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if SLEEP in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes


CHILD = f"subprocess.Popen(['/bin/sleep', '{SLEEP}'], start_new_session=True, cwd='/', env={{}})"
DAEMON = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        os.closerange(0, 100)
        os.execve("/bin/sleep", ["sleep", "{SLEEP}"], {{}})
    os._exit(0)
os.wait()
time.sleep(0.2)
budget_threshold = 1
"""
FORKS = """
import os, time
until = time.monotonic() + 20
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        while time.monotonic() < until:
            time.sleep(0.01)
            if os.fork():
                os._exit(0)
        os._exit(0)
budget_threshold = 1
"""


def test_no_process_of_a_notebook_survives_not_even_a_daemon(apart):
    result = run(f"import subprocess\n{CHILD}\n{DAEMON}")
    assert result.answers[FIRST] == 1
    assert left_behind() == []


@pytest.mark.skipif(not NAMESPACES, reason="only namespaces end such a chain for certain")
def test_processes_that_start_new_ones_without_end_are_ended():
    run(FORKS, seconds=3)
    module = "synfin_analytics.course._worker"
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            assert module not in process.cmdline() or process.status() == psutil.STATUS_ZOMBIE


def test_the_supervisor_cannot_be_stopped_from_ending_what_a_notebook_started(apart):
    source = f"import os, signal, subprocess\n{CHILD}\nos.kill(os.getppid(), signal.SIGSTOP)"
    run(f"{source}\nwhile True: pass", seconds=3)
    assert left_behind() == []


def test_a_notebook_that_kills_its_supervisor_is_ended_or_reported(apart):
    result = run("import os\nbudget_threshold = 1\nos.kill(os.getppid(), 9)")
    outcomes = {None} if apart and NAMESPACES else {KILLED_SUPERVISOR}
    assert result.suspicion in outcomes


def test_the_time_limit_holds_whatever_a_notebook_does_to_files_and_signals(apart):
    source = (
        "import os, signal, resource, sys\n"
        "for name in os.listdir('../answers'):\n    os.remove(f'../answers/{name}')\n"
        "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGXCPU):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (resource.RLIM_INFINITY,) * 2)\n"
        "if os.fork():\n    os.wait()\n"
        "while True: pass"
    )
    result = run(source, seconds=3)
    assert result.ending == "Stopped after 3 seconds, in an unknown cell."


def test_a_notebook_can_read_no_secret_from_any_environment(apart):
    source = """
import os
budget_threshold = 0
for name in os.listdir("/proc"):
    if name.isdigit():
        try:
            budget_threshold += b"hunter2" in open(f"/proc/{name}/environ", "rb").read()
        except OSError:
            pass
"""
    program = (
        "from synfin_analytics.course import _runner, get_lesson\n"
        "from synfin_analytics.course._runner import Cell\n"
        f"_runner._USE_NAMESPACES = {apart}\n"
        f"cells = [Cell({source!r}, ('05.1',))]\n"
        "run = _runner.run_notebook(cells, get_lesson('05'), 1, _runner.Limits())\n"
        "print(run.answers['05.1'])"
    )
    if not _sandbox.LINUX:
        pytest.skip("the environment of other processes is in /proc on Linux only")
    environment = {**os.environ, "DB_PASSWORD": "hunter2"}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "0"


@pytest.mark.skipif(not NAMESPACES, reason="this system has no namespaces for this user")
def test_namespaces_hide_processes_and_allow_only_temporary_files(tmp_path):
    module = str(Path(_runner.__file__))
    result = run(
        f"import os\ntry:\n    open({module!r}, 'a')\nexcept OSError as error:\n"
        "    budget_threshold = error.strerror",
        "cheapest_threshold = sum(name.isdigit() for name in os.listdir('/proc'))",
        "hits = open('/dev/shm/x', 'w').write('x')",
        f"card_precision = open({str(tmp_path / 'x')!r}, 'w').write('x')",
    )
    assert result.answers[FIRST] == "Read-only file system"
    assert result.answers[SECOND] <= 3
    assert result.answers["05.4"] == 1


def test_a_hidden_process_is_visible_again_afterwards():
    if not _sandbox.LINUX:
        pytest.skip("prctl is Linux's")
    with _sandbox.hidden_from_other_processes(), _sandbox.hidden_from_other_processes():
        assert dumpable() == 0
    assert dumpable() == 1


def dumpable():
    return ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)


def test_a_table_that_expands_when_decoded_is_rejected_without_affecting_others():
    bomb = """
import json, polars as pl
column = pl.repeat(0.0, 60_000_000, eager=True)
pl.DataFrame({"a": column}).write_ipc("../answers/05.1.arrow", compression="zstd")
open("../answers/05.1.json", "w").write(json.dumps({"kind": "frame"}))
"""
    cells = [Cell(bomb), Cell("cheapest_threshold = pl.DataFrame({'a': [1]})", ("05.2",))]
    before = psutil.Process().memory_info().rss
    answers = run_notebook(cells, LESSON, 3, Limits()).answers
    assert psutil.Process().memory_info().rss - before < 100_000_000
    with pytest.raises(ArgumentError, match="too large"):
        raise answers[FIRST]
    assert answers[SECOND].rows() == [(1,)]


@pytest.mark.parametrize("rows", [2, _answers.MAX_TABLE_ROWS + 1])
def test_the_number_of_rows_of_a_table_is_limited(rows, tmp_path):
    save_answer(pl.DataFrame({"a": pl.repeat(True, rows, eager=True)}), tmp_path, "one")
    if rows > _answers.MAX_TABLE_ROWS:
        with pytest.raises(ArgumentError, match="too large"):
            restored(tmp_path, "one")
    else:
        assert restored(tmp_path, "one").height == rows


def test_a_damaged_table_is_rejected_without_affecting_others(tmp_path):
    for name in ("one", "two", "three"):
        save_answer(pl.DataFrame({"a": [1, 2]}), tmp_path, name)
    (tmp_path / "two.arrow").write_bytes(b"ARROW1" + bytes(100))
    read = load_answers(tmp_path, ["one", "two", "three"])
    assert isinstance(read["two"], ArgumentError)
    assert read["one"].equals(read["three"])


def test_a_notebook_cannot_see_the_databases_of_the_grader(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://ana:secret@bank.invalid/fraud")
    monkeypatch.setenv("DB_PASSWORD", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    result = run(
        "import os\nbudget_threshold = [*os.environ.values()]",
        "cheapest_threshold = os.environ['DB_DATA_DIR']",
    )
    assert not any("secret" in value for value in result.answers[FIRST])
    assert result.answers[SECOND] != os.environ["DB_DATA_DIR"]
    assert not Path(result.answers[SECOND]).parent.exists()


# -- Magics work as in Jupyter ---------------------------------------------------------------------

MAGICS = [
    "%matplotlib inline",
    "%matplotlib widget",
    "%pylab inline",
    "%autosave 60",
    "%load_ext autoreload",
    "%load_ext no_such_extension",
    "%config InlineBackend.figure_format = 'retina'",
    "%pip install no-such-package",
    "%no_such_magic at all",
    "!ls /no/such/folder",
    "?len",
    "len?",
    "%time x = 1",
    "%pdb on",
    "%%time",
    "%%capture",
    "%%no_such_magic",
    "%%prun -q",
]


def test_a_magic_does_not_prevent_the_rest_of_its_cell():
    cells = [Cell(f"{magic}\nreached.append({magic!r})") for magic in MAGICS]
    result = run_notebook(
        [Cell("reached = []"), *cells, Cell("budget_threshold = reached")], LESSON, 3, Limits()
    )
    assert result.answers[FIRST] == MAGICS


def test_an_error_in_the_body_of_a_magic_is_an_error_of_the_cell():
    result = run(
        "%%time\nbudget_threshold = 1 / 0", "%matplotlib inline\ncheapest_threshold = 1 / 0"
    )
    assert result.errors[FIRST].startswith("ZeroDivisionError")
    assert result.errors[SECOND].startswith("ZeroDivisionError")


def test_half_a_surrogate_does_not_lose_an_answer():
    result = run(
        r"raise ValueError('\ud83d')",
        r"raise type('\ud83d', (Exception,), {})()",
        r"cost_on_test = {'\ud83d': ['\ud83d']}; print('\ud83d'); raise ValueError",
        "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E",
        "precision_elsewhere = 2",
    )
    assert result.ending is None
    assert result.errors[FIRST] == "ValueError: ?"
    assert "05.4" in result.errors
    assert result.answers[THIRD] == {"\ud83d": ["\ud83d"]}
    assert result.answers["05.5"] == 2


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
def test_a_forged_answer_is_rejected(forged):
    result = run(f"import os\npath = '../answers/05.1.json'\n{forged}\nos._exit(0)")
    assert isinstance(result.answers[FIRST], ArgumentError)


# -- Answers from one process to another -----------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (np.float64(0.5), 0.5),
        (Decimal("0.5"), 0.5),
        (np.int8(3), 3),
        (np.bool_(True), True),
        (10**400, math.inf),
        (range(3), UnsupportedAnswer("range")),
        ({"b", "a"}, ["a", "b"]),
        (np.array([1, 2]), [1, 2]),
        ({dt.date(2026, 1, 5): 1, 2: 3}, {"2026-01-05": 1, "2": 3}),
        (pd.NaT, UnsupportedAnswer("NaTType")),
    ],
)
def test_graders_see_the_plain_form_of_an_answer(answer, seen):
    assert to_plain(answer) == seen


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key")),
        pd.Series([1, 2], index=pd.Index(["x", "y"], name="key"), name="a"),
        pl.DataFrame({"key": ["x", "y"], "a": [1, 2]}).lazy(),
        pa.table({"key": ["x", "y"], "a": [1, 2]}),
    ],
)
def test_a_table_of_any_library_becomes_a_polars_dataframe(frame):
    assert to_plain(frame).rows() == [("x", 1), ("y", 2)]
    assert to_plain(frame).columns == ["key", "a"]


class Hostile:
    def __getattr__(self, name):
        raise RuntimeError("no")


def test_an_answer_that_fails_on_any_access_is_unsupported():
    assert to_plain(Hostile()) == UnsupportedAnswer("Hostile")


def restored(folder, name):
    """Load an answer; raise the error in place of it, if any."""
    answer = load_answers(folder, [name])[name]
    if isinstance(answer, ArgumentError):
        raise answer
    return answer


@given(answer=ANSWERS)
def test_a_loaded_answer_equals_the_saved_answer(answer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    save_answer(answer, folder, "one")
    assert restored(folder, "one") == to_plain(answer)


def test_loaded_nan_and_tables_equal_the_saved_ones(tmp_path):
    table = pl.DataFrame({"at": [dt.date(2026, 1, 1), None], "x": [math.nan, 1.5]})
    save_answer(math.nan, tmp_path, "nan")
    save_answer(table, tmp_path, "table")
    save_answer(print, tmp_path, "print")
    save_answer([table], tmp_path, "list")
    assert math.isnan(restored(tmp_path, "nan"))
    assert restored(tmp_path, "table").equals(table)
    assert restored(tmp_path, "print") == UnsupportedAnswer("builtin_function_or_method")
    assert restored(tmp_path, "list")[0]["x"][1] == 1.5


def test_columns_of_objects_and_lists_are_null_before_and_after_saving(tmp_path):
    table = pl.DataFrame({"x": pl.Series([object()], dtype=pl.Object), "y": [[1]], "z": [2]})
    save_answer(table, tmp_path, "one")
    assert to_plain(table).rows() == [(None, None, 2)]
    assert restored(tmp_path, "one").equals(to_plain(table))


def test_an_answer_that_is_too_large_is_rejected(tmp_path, monkeypatch):
    save_answer("a" * 100, tmp_path, "one")
    monkeypatch.setattr(_answers, "MAX_VALUE_BYTES", 50)
    with pytest.raises(ArgumentError, match="too large"):
        restored(tmp_path, "one")


@pytest.mark.parametrize(
    "content", [5, [], {"kind": "value"}, {"kind": "value", "value": {"a": 1}}]
)
def test_unknown_files_are_rejected(tmp_path, content):
    (tmp_path / "one.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ArgumentError, match="cannot be read"):
        restored(tmp_path, "one")
