"""HTML tables for notebooks, and the environment in which all templates are rendered."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from jinja2 import Environment
    from markupsafe import Markup

#: Attribute of HTML in which a notebook renders no formulas between dollar signs, as in pandas.
NO_FORMULAS = 'class="tex2jax_ignore mathjax_ignore"'


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes
    ----------
    caption
        Title of the table, which screen readers announce, too; "" for none.
    head
        Name of each column.
    rows
        Texts, one for each column.
    notes
        For each row, a small text below its first cell.
    text_columns
        Columns (from 0) that hold words; the others hold numbers.
    marked
        Rows (from 0) that are highlighted.
    row_headers
        Whether the first cell of a row is its name.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    text_columns: Collection[int] = (0,)
    marked: Collection[int] = ()
    row_headers: bool = True


def table_html(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str = "",
    text_columns: Collection[int] = (0,),
    row_headers: bool = True,
    wrap: bool = True,
) -> str:
    """Return a table as HTML for a notebook; all texts are escaped.

    Parameters
    ----------
    head, rows, caption, text_columns, row_headers
        See :class:`Table`.
    wrap
        Whether texts may be broken into lines; numbers never are.

    Examples
    --------
    >>> table_html(["name", "n"], [["<b>", "1"]], caption="A & B").count("&lt;b&gt;")
    1
    """
    table = Table(caption, head, list(rows), (), text_columns, (), row_headers)
    macros: Any = environment().get_template("table.html.j2").module
    # Markup would escape what is added to it.
    return str(macros.table(table, notebook=True, wrap=wrap))


@functools.cache
def environment(package: str = "") -> Environment:
    """Return the environment of templates: those of a package, and the ones that all share."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    packages = [package] if package else []
    templates = Environment(
        loader=ChoiceLoader(
            [PackageLoader(name) for name in [*packages, "synfin_analytics._core"]]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["unbroken_dates"] = _unbroken_dates
    return templates


def _unbroken_dates(text: str) -> Markup:
    """Escape a text, and keep the dates in it on one line."""
    from markupsafe import Markup, escape

    dates = r'<span class="whole">\g<0></span>'
    return Markup(re.sub(r"\b\d{4}-\d\d-\d\d\b", dates, str(escape(text))))  # noqa: S704 - escaped
