"""Make every notebook anew from its script: the lessons, and the exercises from their solutions.

make notebooks
"""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat

from synfin_analytics.course import build_notebooks

FOLDER = Path(__file__).parent
LESSONS = sorted(FOLDER.glob("[0-9]*.py"))


def lesson(script: Path) -> str:
    """Make a lesson's notebook from its percent script: no outputs, the same at each call."""
    notebook = jupytext.read(script)
    for place, cell in enumerate(notebook.cells):
        cell["id"] = f"{script.stem[:2]}-{place:02d}"
    # The version of jupytext is the script's affair: the notebook shall not change with it.
    del notebook.metadata["jupytext"]["text_representation"]
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.validate(notebook)
    text: str = nbformat.writes(notebook, version=4)
    return text + "\n"


def main() -> None:
    """Write all of them, and say which are new."""
    made = []
    for script in LESSONS:
        path, text = script.with_suffix(".ipynb"), lesson(script)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            made.append(path)
    made += [path for path, changed in build_notebooks() if changed]
    for path in made:
        print(path.relative_to(FOLDER.parent))


if __name__ == "__main__":
    main()
