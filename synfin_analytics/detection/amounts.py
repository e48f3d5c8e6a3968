"""Detectors of unusual amounts: spikes, large purchases, amounts just below a limit."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics._core.grouped import GroupedRolling
from synfin_analytics.detection.detector import (
    NO_EPISODE,
    Detector,
    episode_rows,
    evidence_of,
    evidence_of_count,
    find_bursts,
)

if TYPE_CHECKING:
    from synfin_analytics._core.types import Mask
    from synfin_analytics.detection._context import DetectionContext


def _is_spike(context: DetectionContext, amount_ratio: float, min_history: int) -> Mask:
    """Whether each amount is so many times the mean of the customer's enough other payments."""
    return (
        ~context.is_credit
        & (context.amount >= amount_ratio * context.usual_amount)
        & (context.usual_amount > 0)  # after amounts of 0 only, no amount is unusual
        & (context.customer_count >= min_history)
    )


def _single_payments(context: DetectionContext, mask: Mask, amount_ratio: float) -> pl.DataFrame:
    """Make each of these rows an episode, with its figures."""
    episodes = np.where(mask, np.arange(len(context)), NO_EPISODE)
    rows = episode_rows(episodes, amount_ratio=np.round(context.amount_ratio, 1))
    evidence = evidence_of(pl.col("amount_ratio"), amount_ratio, 2 * amount_ratio)
    return rows.with_columns(evidence=evidence)


@dataclasses.dataclass(frozen=True)
class AmountSpike(Detector):
    """One payment of many times the customer's mean, not made the customer's usual way.

    The amount is at least ``amount_ratio`` times the mean of the customer's other payments, of
    which there are at least ``min_history`` (the payment included). It is made from an unfamiliar
    device, with the magnetic stripe, or with a card number typed in by hand, and no other such
    payment falls within ``isolation``. Where neither devices nor entry modes are known, every such
    amount counts.

    Parameters
    ----------
    amount_ratio
        Minimum amount, as a multiple of the mean of the customer's other payments.
    min_history
        Minimum number of the customer's payments.
    isolation
        Time before and after the payment without another such payment.

    Examples
    --------
    >>> AmountSpike(amount_ratio=20.0).min_history
    10
    """

    name: ClassVar[str] = "amount_spike"
    title: ClassVar[str] = "Amount spike"

    amount_ratio: float = 10.0
    min_history: int = 10
    isolation: dt.timedelta = dt.timedelta(days=1)

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        mask = _is_spike(context, self.amount_ratio, self.min_history) & context.is_unfamiliar
        if context.can_tell_unfamiliar:
            for times in (context.timestamp, -context.timestamp):  # before, and after
                unfamiliar = GroupedRolling(context.customer, times, counted=context.is_unfamiliar)
                mask &= unfamiliar.window(self.isolation).count() == 1
        return _single_payments(context, mask, self.amount_ratio)

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return (
            f"One payment of {format_number(figures['amount_ratio'], 1)} times the customer's "
            "usual amount, not made the customer's usual way"
        )


@dataclasses.dataclass(frozen=True)
class LargePurchase(Detector):
    """One payment of many times the customer's mean, with the customer's card and device.

    The amount is at least ``amount_ratio`` times the mean of the customer's other payments, of
    which there are at least ``min_history`` (the payment included). It was completed, with the chip
    or from the customer's own device.

    Parameters
    ----------
    amount_ratio
        Minimum amount, as a multiple of the mean of the customer's other payments.
    min_history
        Minimum number of the customer's payments.

    Examples
    --------
    >>> LargePurchase().amount_ratio
    10.0
    """

    name: ClassVar[str] = "large_purchase"
    title: ClassVar[str] = "Large purchase"

    amount_ratio: float = 10.0
    min_history: int = 10

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        is_familiar = context.is_spent
        if context.can_tell_unfamiliar:
            is_familiar = ~context.is_unfamiliar
        is_spike = _is_spike(context, self.amount_ratio, self.min_history)
        return _single_payments(
            context, is_spike & is_familiar & context.is_spent, self.amount_ratio
        )

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return (
            f"One payment of {format_number(figures['amount_ratio'], 1)} times the customer's "
            "usual amount, with the customer's own card or device"
        )


@dataclasses.dataclass(frozen=True)
class JustBelowLimit(Detector):
    """Several payments with one card just below the same limit.

    At least ``min_count`` payments within ``window``, each below the limit by at most ``margin``,
    as a share of it. Set ``limits`` to those of your bank: amounts from which it asks for a PIN, or
    reviews a payment.

    Parameters
    ----------
    limits
        Amounts from which payments are reviewed.
    margin
        Maximum distance below the limit, as a share of it.
    min_count
        Minimum number of payments.
    window
        Maximum time from the first to the last.

    Examples
    --------
    >>> JustBelowLimit(limits=(30.0, 100.0)).margin
    0.04
    """

    name: ClassVar[str] = "just_below_limit"
    title: ClassVar[str] = "Just below a limit"

    limits: tuple[float, ...] = (25.0, 50.0, 100.0, 150.0, 200.0, 250.0, 500.0, 1000.0, 5000.0)
    margin: float = 0.04
    min_count: int = 4
    window: dt.timedelta = dt.timedelta(days=2)

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        limits = np.sort(np.asarray(self.limits))
        position = np.searchsorted(limits, context.amount, side="right")
        limit = np.append(limits, np.inf)[position]
        is_near = (context.amount >= limit * (1 - self.margin)) & np.isfinite(limit)
        card_and_limit = context.card * (len(limits) + 1) + position
        episodes = find_bursts(
            card_and_limit,
            context.timestamp,
            is_near & ~context.is_credit,
            self.window,
            self.min_count,
        )
        return episode_rows(episodes, limit=limit).with_columns(
            evidence=evidence_of_count(self.min_count)
        )

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} with one card, each just below "
            f"{format_number(figures['limit'])}"
        )
