"""Generate all notebooks: the lessons from their scripts, the exercises from their solutions.

Run it with ``make notebooks``.
"""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat

from synfin_analytics.course import build_notebooks

FOLDER = Path(__file__).parent
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))


def build_lesson(script: Path) -> str:
    """Return the notebook of a percent script as JSON, without outputs; the same on every call."""
    notebook = jupytext.read(script)
    for position, cell in enumerate(notebook.cells):
        cell["id"] = f"{script.stem[:2]}-{position:02d}"
    # The notebook must not change with the version of jupytext.
    del notebook.metadata["jupytext"]["text_representation"]
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.validate(notebook)
    content: str = nbformat.writes(notebook, version=4)
    return content + "\n"


def main() -> None:
    """Write all notebooks and print the paths of those that changed."""
    changed = []
    for script in SCRIPTS:
        path, content = script.with_suffix(".ipynb"), build_lesson(script)
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            path.write_text(content, encoding="utf-8")
            changed.append(path)
    changed += [path for path, has_changed in build_notebooks() if has_changed]
    for path in changed:
        print(path.relative_to(FOLDER.parent))


if __name__ == "__main__":
    main()
