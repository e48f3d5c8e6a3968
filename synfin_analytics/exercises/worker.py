"""Run a returned notebook in this process, and lay the answers out as files.

``python -m synfin_analytics.exercises.worker FOLDER`` is started by :mod:`running`, which reads the
files. Whatever the notebook does, it can only write answers: they are judged elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from synfin_analytics.exercises.answers import save

#: Files in the folder: what is to do; the number of the cell that runs; a mark at the end.
JOB, AT, END = "job.json", "at", "end"
#: Suffix of what stopped the cell of an exercise.
ERROR = ".error"
#: Characters of an error's text.
LONGEST = 300


def main(folder: Path) -> None:
    """Run the cells of a job one after the other; an error ends its cell only."""
    from IPython.core.interactiveshell import InteractiveShell

    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    shell: Any = InteractiveShell.instance(history_length=0)
    names: dict[str, str] = job["names"]
    laid_out: set[str] = set()
    for number, cell in enumerate(job["cells"], 1):
        (folder / AT).write_text(str(number), encoding="utf-8")
        # Silent: what a last line shows is not made.
        done = shell.run_cell(cell["source"], store_history=False, silent=True)
        error = done.error_before_exec or done.error_in_exec
        for exercise in cell["exercises"]:
            laid_out |= _lay_out(shell.user_ns, exercise, names[exercise], folder)
            if error is not None:
                (folder / f"{exercise}{ERROR}").write_text(told(error), encoding="utf-8")
    for exercise in names.keys() - laid_out:  # its cell is gone, or set nothing
        _lay_out(shell.user_ns, exercise, names[exercise], folder)
    (folder / END).touch()


def _lay_out(space: dict[str, Any], exercise: str, name: str, folder: Path) -> set[str]:
    if name not in space:
        return set()
    save(space[name], folder, exercise)
    return {exercise}


def told(error: BaseException) -> str:
    """Name an error in one line."""
    text = ""
    with contextlib.suppress(Exception):  # an error of the notebook's own may have no text
        text = " ".join(str(error).split())[:LONGEST]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


if __name__ == "__main__":
    main(Path(sys.argv[1]))
