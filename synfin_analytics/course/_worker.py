"""Run a submitted notebook in this process, and write the answers to files.

The supervisor starts ``python -m synfin_analytics.course._worker FOLDER PIPE``; another process
grades the answers. Whatever the notebook does, it can only write answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from synfin_analytics.course._answers import save_answer
from synfin_analytics.course.session import on_check

#: Files in the folder: the job; the number of the running cell; a marker that the end was reached.
JOB, CURRENT_CELL, END = "job.json", "at", "end"
#: Suffixes of the error in the cell of an exercise, and of the last argument of ``check``.
ERROR, CHECKED = ".error", ".checked"
#: Maximum characters of an error message.
MAX_ERROR_CHARACTERS = 300
#: Magics that run code of the notebook: their errors end the cell, as in Jupyter.
_CODE_MAGICS = frozenset({"capture", "prun", "run", "time", "timeit"})
#: Magics that would change the environment of the teacher.
_INSTALL_MAGICS = frozenset({"conda", "mamba", "micromamba", "pip", "uv"})


def main(folder: Path, start_pipe: int) -> None:
    """Run the cells of a job one after the other; an error ends only its cell."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    shell = _make_shell()
    variables: dict[str, str] = job["variables"]
    saved: set[str] = set()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # half a surrogate cannot be encoded
    on_check(lambda exercise, answer: save_answer(answer, folder, f"{exercise}{CHECKED}"))
    os.write(start_pipe, b".")  # the time limit starts here; nothing in the notebook moves it
    os.close(start_pipe)
    for number, cell in enumerate(job["cells"], 1):
        (folder / CURRENT_CELL).write_text(str(number), encoding="utf-8")
        # Silent: the value of the last line is not displayed.
        result = shell.run_cell(cell["source"], store_history=False, silent=True)
        error = result.error_before_exec or result.error_in_exec
        for exercise in cell["exercises"]:
            saved |= _save_variable(shell.user_ns, exercise, variables[exercise], folder)
            if error is not None:
                (folder / f"{exercise}{ERROR}").write_bytes(_describe(error))
    for exercise in variables.keys() - saved:  # its cell is missing, or did not set the variable
        _save_variable(shell.user_ns, exercise, variables[exercise], folder)
    (folder / END).touch()


def _make_shell() -> Any:
    """Create a shell in which magics do what they do in Jupyter, or nothing."""
    from IPython.core.interactiveshell import InteractiveShell

    base: Any = InteractiveShell  # untyped

    class Shell(base):  # type: ignore[misc]
        def enable_gui(self, gui: Any = None) -> None:
            """Do nothing: there is no display."""

        def enable_matplotlib(self, _: Any = None) -> tuple[str, str]:
            """Keep the backend: no plot is displayed."""
            return "agg", "agg"

        def run_line_magic(self, magic_name: str, line: str, _stack_depth: int = 1) -> Any:
            """Run a magic; an unknown or failing one has no effect."""
            if magic_name in _INSTALL_MAGICS:
                return None
            with _suppress_errors_of(magic_name):
                return super().run_line_magic(magic_name, line, _stack_depth=_stack_depth + 1)

        def run_cell_magic(self, magic_name: str, line: str, cell: str) -> Any:
            """Run a magic; of an unknown one, run a body that is Python."""
            if self.find_cell_magic(magic_name) is None:
                return self.ex(cell) if _is_python(cell) else None
            with _suppress_errors_of(magic_name):
                return super().run_cell_magic(magic_name, line, cell)

    return Shell.instance(history_length=0)


def _suppress_errors_of(magic: str) -> contextlib.AbstractContextManager[None]:
    if magic in _CODE_MAGICS:
        return contextlib.nullcontext()
    return contextlib.suppress(Exception)


def _is_python(source: str) -> bool:
    try:
        compile(source, "cell", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _save_variable(
    namespace: dict[str, Any], exercise: str, variable: str, folder: Path
) -> set[str]:
    if variable not in namespace:
        return set()
    save_answer(namespace[variable], folder, exercise)
    return {exercise}


def _describe(error: BaseException) -> bytes:
    """Return the type and message of an error in one line, as UTF-8."""
    description = "an error"
    # The str() of an error class in the notebook may be empty, or end Python.
    with contextlib.suppress(BaseException):
        description = str(type(error).__name__)
        message = " ".join(str(error).split())[:MAX_ERROR_CHARACTERS]
        description = f"{description}: {message}" if message else description
    return description.encode("utf-8", errors="replace")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
