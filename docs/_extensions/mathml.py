"""Formulas as MathML, which browsers render without scripts or external fonts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml
from sphinx.util import logging

if TYPE_CHECKING:
    from docutils.nodes import math, math_block
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


def _to_mathml(node: math | math_block, *, block: bool) -> str:
    try:
        return str(latex2mathml.tex2mathml(node.astext(), as_block=block))
    except MathError as error:  # an exception would end a parallel build without a message
        logger.warning("%s in the formula %r", error, node.astext(), location=node)
        return ""


def _visit_inline(translator: HTML5Translator, node: math) -> None:
    translator.body.append(_to_mathml(node, block=False))
    raise nodes.SkipNode


def _visit_block(translator: HTML5Translator, node: math_block) -> None:
    translator.body.append(f'<div class="math">{_to_mathml(node, block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the renderer as ``html_math_renderer = "mathml"``."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
