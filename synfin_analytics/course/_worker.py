"""Run a returned notebook in this process, and write the answers to files.

``python -m synfin_analytics.course._worker FOLDER PIPE`` is started by :mod:`supervisor`; what
the files hold is judged in another process. Whatever the notebook does, it can only write answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from synfin_analytics.course import session as desk
from synfin_analytics.course._answers import save

#: Files in the folder: what is to do; the number of the cell that runs; a mark at the end.
JOB, AT, END = "job.json", "at", "end"
#: Suffixes of what stopped the cell of an exercise, and of the answer that was checked last.
ERROR, CHECKED = ".error", ".checked"
#: Characters of an error's text.
LONGEST = 300
#: Magics that run code of the notebook: their errors end the cell, as in Jupyter.
_RUN_CODE = frozenset({"capture", "prun", "run", "time", "timeit"})
#: Magics that would change the environment of whoever marks.
_INSTALL = frozenset({"conda", "mamba", "micromamba", "pip", "uv"})


def main(folder: Path, began: int) -> None:
    """Run the cells of a job one after the other; an error ends its cell only."""
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    shell = _shell()
    names: dict[str, str] = job["names"]
    saved: set[str] = set()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # half a surrogate cannot be encoded
    desk.on_check(lambda exercise, answer: save(answer, folder, f"{exercise}{CHECKED}"))
    os.write(began, b".")  # the time limit begins here; nothing that the notebook does moves it
    os.close(began)
    for number, cell in enumerate(job["cells"], 1):
        (folder / AT).write_text(str(number), encoding="utf-8")
        # Silent: what a last line shows is not made.
        done = shell.run_cell(cell["source"], store_history=False, silent=True)
        error = done.error_before_exec or done.error_in_exec
        for exercise in cell["exercises"]:
            saved |= _save(shell.user_ns, exercise, names[exercise], folder)
            if error is not None:
                (folder / f"{exercise}{ERROR}").write_bytes(described(error))
    for exercise in names.keys() - saved:  # its cell is gone, or set nothing
        _save(shell.user_ns, exercise, names[exercise], folder)
    (folder / END).touch()


def _shell() -> Any:
    """Make a shell in which magics do what they do in Jupyter, or nothing."""
    from IPython.core.interactiveshell import InteractiveShell

    base: Any = InteractiveShell  # it has no types

    class Shell(base):  # type: ignore[misc]
        def enable_gui(self, gui: Any = None) -> None:
            """Show nothing."""

        def enable_matplotlib(self, _: Any = None) -> tuple[str, str]:
            """Leave the backend as it is: no picture is shown."""
            return "agg", "agg"

        def run_line_magic(self, magic_name: str, line: str, _stack_depth: int = 1) -> Any:
            """Run a magic; one that is unknown here or fails has no effect."""
            if magic_name in _INSTALL:
                return None
            with _errors_of(magic_name):
                return super().run_line_magic(magic_name, line, _stack_depth=_stack_depth + 1)

        def run_cell_magic(self, magic_name: str, line: str, cell: str) -> Any:
            """Run a magic; of one that is unknown here, a body of Python runs."""
            if self.find_cell_magic(magic_name) is None:
                return self.ex(cell) if _is_python(cell) else None
            with _errors_of(magic_name):
                return super().run_cell_magic(magic_name, line, cell)

    return Shell.instance(history_length=0)


def _errors_of(magic: str) -> contextlib.AbstractContextManager[None]:
    if magic in _RUN_CODE:
        return contextlib.nullcontext()
    return contextlib.suppress(Exception)


def _is_python(source: str) -> bool:
    try:
        compile(source, "cell", "exec")
    except (SyntaxError, ValueError):
        return False
    return True


def _save(space: dict[str, Any], exercise: str, name: str, folder: Path) -> set[str]:
    if name not in space:
        return set()
    save(space[name], folder, exercise)
    return {exercise}


def described(error: BaseException) -> bytes:
    """Name an error in one line, as UTF-8."""
    words = "An error"
    # An error of the notebook's own may have no text, or one that ends Python.
    with contextlib.suppress(BaseException):
        words = str(type(error).__name__)
        text = " ".join(str(error).split())[:LONGEST]
        words = f"{words}: {text}" if text else words
    return words.encode("utf-8", errors="replace")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
