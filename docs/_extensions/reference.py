"""Remove generated reference pages whose name no page of docs/reference lists any more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_SUMMARY = re.compile(
    r"^\.\. currentmodule:: (\S+)\n\n\.\. autosummary::\n(.*?)(?=^\S)", re.M | re.S
)


def documented_names(folder: Path) -> list[str]:
    """Return the full name of every entry of a summary, in the order of the pages."""
    return [
        f"{module}.{entry}"
        for page in sorted(folder.glob("*.md"))
        for module, entries in _SUMMARY.findall(page.read_text(encoding="utf-8"))
        for entry in re.findall(r"^   (\w+)$", entries, re.MULTILINE)
    ]


def _remove_stale_pages(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "reference"
    names = set(documented_names(folder))
    for path in (folder / "api").glob("*.rst"):
        if path.stem not in names:
            path.unlink()


def _escape(_app: Sphinx, _context: object, lines: list[str]) -> None:
    """Keep a ``|`` in the help of an option from being read as markup."""
    lines[:] = [line.replace("|", "\\|") for line in lines]


def _skip_aliases(
    _app: Sphinx, _what: str, _name: str, member: object, _skip: bool, _options: object
) -> bool | None:
    """Leave out fields of named tuples, which the class describes, and the methods of mappings."""
    inherited = getattr(member, "__module__", None) == "collections.abc"
    return True if inherited or type(member).__name__ == "_tuplegetter" else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the handlers; stale pages are removed before autosummary writes the current pages."""
    app.connect("autodoc-skip-member", _skip_aliases)
    app.connect("sphinx-click-process-options", _escape)
    app.connect("builder-inited", _remove_stale_pages, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
