"""Hooks through which a lower floor uses what a higher one provides, without importing it."""

from __future__ import annotations

import importlib
from typing import Any


def plot_accessor(result: object) -> Any:
    """Return the object behind ``result.plot``, whose methods draw the result.

    Plots depend on results and never the reverse. The accessor is therefore looked up by name when
    it is first used, which also keeps matplotlib unimported until then.

    Parameters
    ----------
    result
        A result such as an Evaluation.

    Returns
    -------
    object
        What ``synfin_analytics.plots._accessor.accessor(result)`` returns.
    """
    return importlib.import_module("synfin_analytics.plots._accessor").accessor(result)
