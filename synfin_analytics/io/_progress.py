"""A progress bar for a terminal or a notebook, and silence elsewhere."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if find_spec("ipywidgets") is None:  # without it, tqdm.auto warns in every notebook
    from tqdm import tqdm
else:
    from tqdm.auto import tqdm

if TYPE_CHECKING:
    from typing import Any

#: Seconds before a bar appears: a short load needs none.
_DELAY = 1.0


def is_interactive() -> bool:
    """Whether output goes to a terminal or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def progress_bar(title: str, total: int | None, *, show: bool | None) -> tqdm[Any]:
    """Return a bar that counts rows; if ``show`` is None, visible in interactive use only."""
    visible = is_interactive() if show is None else show
    return tqdm(
        desc=title,
        total=total,
        unit=" rows",
        unit_scale=True,
        disable=not visible,
        delay=0 if show else _DELAY,
    )
