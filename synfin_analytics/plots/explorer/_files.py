"""The script and the style of the explorer, as a page or a widget embeds them."""

from __future__ import annotations

import functools
import re
from importlib.resources import files

#: A string or a template, or code between these; blanks around punctuation that needs none.
_CODE = re.compile(r'("(?:[^"\\]|\\.)*"|`(?:[^`\\]|\\.)*`)|[^"`]+')
_BLANKS = re.compile(r"\s*([,;:?(){}=<>&|])\s*")


def strip_script(source: str) -> str:
    r"""Return a script without its comments of whole lines and the blanks that it can do without.

    Blanks within strings and templates are kept. A statement must end in ``;`` or ``}``.

    Examples
    --------
    >>> strip_script('/* A\n   note. */\nif (a, b) {\n  // go\n  go("a, b");\n}\n')
    'if(a,b){go("a, b");}'
    """
    source = re.sub(r"^[ \t]*/\*.*?\*/\n", "", source, flags=re.DOTALL | re.MULTILINE)
    source = re.sub(r"^[ \t]*//.*\n", "", source, flags=re.MULTILINE)
    return _CODE.sub(lambda match: match[1] or _BLANKS.sub(r"\1", match[0]), source)


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
