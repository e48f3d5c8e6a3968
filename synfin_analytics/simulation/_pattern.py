"""What all patterns of fraud have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from synfin_analytics.simulation._parameters import check_parameters
from synfin_analytics.simulation._payments import (
    DAY,
    DECLINED,
    LEAST,
    MOST,
    Payments,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from synfin_analytics.simulation._context import Episodes, Scene
    from synfin_analytics.simulation._random import Draws, Integers, Mask


@dataclass(frozen=True, kw_only=True)
class Pattern(ABC):
    """A way to commit fraud, with its parameters.

    A pair of numbers is a range, both ends of which belong to it.
    """

    #: As it stands in ``fraud_type``, and what ``fraud_reason`` says.
    name: ClassVar[str]
    reasons: ClassVar[tuple[str, ...]]
    #: With drift it grows (1) or fades (-1) in the course of the period.
    trend: ClassVar[int] = 0

    #: Weight among all fraudulent transactions.
    weight: float = 1.0
    #: Fraudulent transactions of an episode.
    payments: tuple[int, int] = (1, 1)
    #: Days until the bank learns of it, at least, and how many later that is on average.
    label_delay_min: float = 0.5
    label_delay_mean: float = 3.5
    #: Share of the transactions that are declined.
    decline_rate: float = 0.05

    def __post_init__(self) -> None:
        check_parameters(self, "pattern")

    def possible(self, scene: Scene) -> bool:
        """Say whether the world has what it takes."""
        return len(scene.paid) > 0

    @abstractmethod
    def commit(self, draws: Draws, scene: Scene, episodes: Episodes) -> Payments:
        """Commit these episodes."""

    def made(
        self,
        draws: Draws,
        episodes: Episodes,
        *,
        time: Integers,
        cents: NDArray[np.number],
        one_by_one: bool = False,
        reason: ArrayLike = 0,
        **columns: ArrayLike,
    ) -> Payments:
        """Payments of these episodes, with what the bank made of them.

        It learns of an episode at once, some time after its end; or, ``one_by_one``, of each
        payment for itself.
        """
        last = time if one_by_one else np.maximum.reduceat(time, episodes.first)
        later = self.label_delay_mean - self.label_delay_min
        days = self.label_delay_min + later * draws.exponential(len(last))
        known = last + days * DAY
        if not one_by_one:
            known = known[episodes.of]
        refused: Mask = draws.chance(len(time), self.decline_rate)
        return Payments.of(
            len(time),
            time=time,
            cents=np.clip(np.rint(cents), LEAST, MOST),
            status=np.where(refused, DECLINED, 0),
            known=np.maximum(np.ceil(known), time + 60),
            reason=reason,
            **columns,
        )
