"""The style and the script of a page, and the policy that allows these and no request."""

from __future__ import annotations

import base64
import functools
import hashlib
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup

from synfin_analytics.plots.explorer import explorer_script, explorer_style, strip_script


@dataclass(frozen=True)
class Assets:
    """What the head and the end of a page embed.

    Attributes
    ----------
    style, script
        The style sheet and the script.
    policy
        Content Security Policy: this style, this script, inline styles of figures, and no request.
    """

    style: Markup
    script: Markup
    policy: str


@functools.cache
def page_assets() -> Assets:
    """Return the style, the script and the policy of all pages."""
    style = _read("page.css") + explorer_style()
    script = explorer_script() + strip_script(_read("page.js"))
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src 'unsafe-inline'; "
        f"style-src-elem {_hash(style)}; style-src-attr 'unsafe-inline'; form-action 'none'"
    )
    return Assets(Markup(style), Markup(script), policy)  # noqa: S704 - both are files of ours


def _read(name: str) -> str:
    return (files("synfin_analytics.reports") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
