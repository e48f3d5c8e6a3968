"""The pages of docs/, and the code in them."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
#: Code that runs when the site is built, and code that is only shown; both run in tests.
CELL, PYTHON = r"\{code-cell\}", "python"


def page(name: str) -> str:
    """Text of a page, by its path without the suffix."""
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str, *languages: str) -> list[str]:
    """Fenced blocks of the given languages, in the order of the page."""
    fence = rf"^```(?:{'|'.join(languages)})[^\n]*\n(.*?)^```"
    return re.findall(fence, text, re.MULTILINE | re.DOTALL)


def code(text: str) -> str:
    """All Python code of a page as one script, without cell options and IPython commands."""
    lines = "\n".join(blocks(text, CELL, PYTHON)).splitlines()
    return "\n".join(line for line in lines if not line.startswith((":", "%")))
