"""The explorer as a widget of Jupyter; this module needs anywidget."""

from __future__ import annotations

import math
from typing import Any

import anywidget
import traitlets

from synfin_analytics._core.arguments import check_share
from synfin_analytics.plots.explorer._files import explorer_script, explorer_style

#: The widget of a view: a change of the threshold on either side reaches the other one.
_EXPORT = """
export default {
  render({model, el}) {
    const root = document.createElement("div");
    el.append(root);
    const set = synfin.explore(root, model.get("_data"), threshold => {
      model.set("_threshold", threshold);
      model.save_changes();
    });
    model.on("change:_threshold", () => {
      const threshold = model.get("_threshold");
      if (String(threshold ?? "") !== root.dataset.threshold) set(threshold);
    });
  },
};
"""


class Explorer(anywidget.AnyWidget):
    """A widget that shows what each threshold of a model gives; ``evaluation.explore()`` is one.

    Parameters
    ----------
    data
        Result of ``explorer_data``.

    Attributes
    ----------
    threshold
        The threshold that is selected, infinite for no alert; set it to select another one.
    """

    _esm = explorer_script() + _EXPORT
    _css = explorer_style()
    _data = traitlets.Dict().tag(sync=True)
    # JSON has no infinity: None is the threshold of no alert.
    _threshold = traitlets.Float(allow_none=True).tag(sync=True)

    def __init__(self, data: dict[str, Any]) -> None:
        super().__init__(_data=data, _threshold=data["threshold"])

    @property
    def threshold(self) -> float:
        """The threshold that is selected."""
        return math.inf if self._threshold is None else float(self._threshold)

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        none = threshold == math.inf
        self._threshold = None if none else check_share(threshold, "threshold", "a score")

    def __repr__(self) -> str:
        return f"Explorer(threshold={self.threshold:g})"
