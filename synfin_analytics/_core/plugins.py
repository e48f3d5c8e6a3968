"""Hooks through which a lower floor uses what a higher one provides, without importing it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synfin_analytics._core.display import Display


def draw(function: str, result: object, *arguments: Any, **options: Any) -> Display:
    """Draw a result with a function of :mod:`synfin_analytics.plots`.

    Plots depend on results and never the reverse. The function is therefore looked up by name when
    a plot is drawn, which also keeps matplotlib unimported until then.

    Parameters
    ----------
    function
        Name of the function, such as ``"plot_roc"``.
    result
        What to draw.
    arguments, options
        Further arguments of the function.
    """
    plots = importlib.import_module("synfin_analytics.plots")
    display: Display = getattr(plots, function)(result, *arguments, **options)
    return display
