"""A progress bar that is silent where nobody watches."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

if find_spec("ipywidgets") is None:  # else tqdm.auto warns in every notebook
    from tqdm import tqdm
else:
    from tqdm.auto import tqdm

if TYPE_CHECKING:
    from typing import Any

#: Seconds before a bar appears: a short load needs none.
DELAY = 1.0


def watched() -> bool:
    """Whether output goes to a terminal or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def progress_bar(title: str, total: int | None, *, show: bool | None) -> tqdm[Any]:
    """Bar that counts rows; invisible unless it is asked for or somebody watches."""
    visible = watched() if show is None else show
    return tqdm(
        desc=title,
        total=total,
        unit=" rows",
        unit_scale=True,
        disable=not visible,
        delay=0 if show else DELAY,
    )
