"""Formatter of ticks, in a module of its own so that pictures pickle and matplotlib loads late."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import Formatter

from synfin_analytics.plots.style import brief, percent_tick


class PercentTicks(Formatter):
    """Shares as percent, all with the decimals that the finest needs."""

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002 - it is given
        """Write one tick."""
        return percent_tick(x)

    def format_ticks(self, values: Any) -> list[str]:
        """Write all ticks of an axis."""
        shares = 100 * np.asarray(values, dtype=np.float64)
        near = 1e-6 * float(np.ptp(shares)) if len(shares) else 0.0
        fits = (n for n in range(16) if np.allclose(shares, shares.round(n), rtol=0, atol=near))
        digits = next(fits, 16)
        return [f"{share:.{digits}f}%" for share in shares]


def share_tick(share: float, _position: int | None = None) -> str:
    """Write a share as percent."""
    return percent_tick(share)


def brief_tick(number: float, _position: int | None = None) -> str:
    """Write a count or an amount in few characters."""
    return brief(number)


def signed_tick(difference: float, _position: int | None = None) -> str:
    """Write a difference with its sign."""
    return f"{difference:+.3g}" if difference else "0"
