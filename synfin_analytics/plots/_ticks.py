"""Formatters of axes; in a module of their own, for plots are pickled and matplotlib loads late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import Formatter

from synfin_analytics._core.formatting import format_compact

if TYPE_CHECKING:
    from collections.abc import Sequence


class PercentFormatter(Formatter):
    """Shares in percent, all with the decimals that the finest tick needs."""

    def __call__(self, x: float, pos: int | None = None) -> str:  # noqa: ARG002 - matplotlib's call
        """Format one tick, with all its decimals.

        Examples
        --------
        >>> PercentFormatter()(0.2), PercentFormatter()(1e-7)
        ('20%', '0.00001%')
        """
        return f"{np.format_float_positional(100 * x, precision=4, fractional=False, trim='-')}%"

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Format all ticks of an axis."""
        shares = 100 * np.asarray(values, dtype=np.float64)
        tolerance = 1e-6 * float(np.ptp(shares)) if len(shares) else 0.0
        digits = next(
            (n for n in range(16) if np.allclose(shares, shares.round(n), rtol=0, atol=tolerance)),
            16,
        )
        return [f"{share:.{digits}f}%" for share in shares]


def compact_tick(value: float, _position: int | None = None) -> str:
    """Format a count or an amount in few characters."""
    return format_compact(value)


def signed_tick(value: float, _position: int | None = None) -> str:
    """Format a difference with its sign."""
    return f"{value:+.3g}" if value else "0"
