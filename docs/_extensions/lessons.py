"""Add the lessons of notebooks/ as pages, and give each page that runs code its own database."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def _copy_lessons(app: Sphinx, _config: Config) -> None:
    """Copy only changed files, since Sphinx reads a page again if its file is newer."""
    folder = Path(app.srcdir) / "lessons"
    lessons = {path.name: path for path in NOTEBOOKS.glob("[0-9]*.ipynb")}
    for path in folder.glob("*.ipynb"):
        if path.name not in lessons:
            path.unlink()
    for name, path in lessons.items():
        page = folder / name
        if not page.is_file() or page.read_bytes() != path.read_bytes():
            shutil.copyfile(path, page)


def _name_database(_app: Sphinx, docname: str, _content: list[str]) -> None:
    """Set the database of kernels that start from now on to that of the page."""
    os.environ["DB_NAME"] = re.sub(r"\W", "_", f"page_{docname}")


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect both, and read all pages again when the package or an extension changes."""
    app.add_config_value("package_digest", "", "env")
    app.add_config_value("site_digest", "", "env")
    app.connect("config-inited", _copy_lessons)
    app.connect("source-read", _name_database)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
