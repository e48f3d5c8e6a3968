"""Corrections of the HTML that screen readers need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_SIGNATURE = re.compile(r'<dt class="sig .*?</dt>', re.DOTALL)
#: Sphinx writes the lines of a signature as a description list without descriptions.
_LINES = {
    "<dl>": '<span class="sig-lines">',
    "</dl>": "</span>",
    "<dd>": '<span class="sig-line">',
    "</dd>": "</span>",
}


def _as_lines(match: re.Match[str]) -> str:
    signature = match[0]
    for tag, line in _LINES.items():
        signature = signature.replace(tag, line)
    return signature


def _correct(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _doctree: object
) -> None:
    if "body" in context:
        context["body"] = _SIGNATURE.sub(_as_lines, context["body"])
    write_sidebar = context["generate_toctree_html"]
    context["generate_toctree_html"] = lambda *args, **kwargs: str(
        write_sidebar(*args, **kwargs)
    ).replace("<summary>", '<summary aria-label="Pages of this section">')


def setup(app: Sphinx) -> dict[str, Any]:
    """Correct each page before it is written."""
    app.connect("html-page-context", _correct, priority=900)  # after the theme's
    return {"parallel_read_safe": True, "parallel_write_safe": True}
