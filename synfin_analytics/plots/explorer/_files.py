"""The script and the style of the explorer, as a page or a widget embeds them."""

from __future__ import annotations

import functools
import re
from importlib.resources import files


def strip_script(source: str) -> str:
    r"""Return a script without its comments of whole lines and its indentation.

    Examples
    --------
    >>> strip_script("/* A\n   note. */\nif (1) {\n  // go\n  go();\n}\n")
    'if (1) {\ngo();\n}\n'
    """
    source = re.sub(r"^[ \t]*/\*.*?\*/\n", "", source, flags=re.DOTALL | re.MULTILINE)
    source = re.sub(r"^[ \t]*//.*\n", "", source, flags=re.MULTILINE)
    return re.sub(r"^[ \t]+|^\n", "", source, flags=re.MULTILINE)


@functools.cache
def explorer_script() -> str:
    """Return the script, which defines ``synfin``."""
    return strip_script(_read("explorer.js"))


@functools.cache
def explorer_style() -> str:
    """Return the style sheet."""
    return _read("explorer.css")


def _read(name: str) -> str:
    return (files("synfin_analytics.plots.explorer") / name).read_text(encoding="utf-8")
