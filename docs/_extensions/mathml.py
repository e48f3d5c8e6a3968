"""Formulas as MathML, which browsers draw without a script or a font from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.utils.math import latex2mathml

if TYPE_CHECKING:
    from docutils.nodes import math, math_block
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator


def _to_mathml(latex: str, *, block: bool) -> str:
    tree = latex2mathml.tex2mathml(latex, as_block=block)
    return str(tree)


def _visit_inline(translator: HTML5Translator, node: math) -> None:
    translator.body.append(_to_mathml(node.astext(), block=False))
    raise nodes.SkipNode


def _visit_block(translator: HTML5Translator, node: math_block) -> None:
    translator.body.append(f'<div class="math">{_to_mathml(node.astext(), block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the renderer as ``html_math_renderer = "mathml"``."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
