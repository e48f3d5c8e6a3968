"""The explorer of thresholds: its numbers, its script and its style, for pages and for Jupyter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfin_analytics.plots.explorer._data import ExplorerSettings, explorer_data
from synfin_analytics.plots.explorer._explore import explore
from synfin_analytics.plots.explorer._files import explorer_script, explorer_style, strip_script

if TYPE_CHECKING:  # it needs anywidget
    from synfin_analytics.plots.explorer.widget import Explorer as Explorer

__all__ = [
    "ExplorerSettings",
    "explore",
    "explorer_data",
    "explorer_script",
    "explorer_style",
    "strip_script",
]
