"""Hooks through which a lower floor uses what a higher one provides, without importing it.

An import inside a function would only hide the cycle, and a registry that the higher floor fills
would be empty until that floor is imported. So these few are looked up by name, here
and nowhere else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

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


def dataframe_function(name: Literal["load_df", "read_df"]) -> Callable[..., Any]:
    """Return ``load_df`` or ``read_df``, for methods of the manager.

    ``io`` opens sessions of the manager, so the manager must not import ``io``.

    Parameters
    ----------
    name
        Name of the function.

    Returns
    -------
    function
        ``synfin_analytics.load_df`` or ``synfin_analytics.read_df``.

    Examples
    --------
    >>> dataframe_function("read_df")("SELECT 1 AS n")["n"].tolist()
    [1]
    """
    package = {"load_df": "synfin_analytics.io.load", "read_df": "synfin_analytics.io.read"}[name]
    function: Callable[..., Any] = getattr(importlib.import_module(package), name)
    return function
