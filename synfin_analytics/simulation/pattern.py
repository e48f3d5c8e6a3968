"""The interface of all fraud patterns, and the validation of parameters."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.simulation._payments import DAY, DECLINED, MAX_CENTS, MIN_CENTS, Payments

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from synfin_analytics.simulation._context import Episodes, FraudContext
    from synfin_analytics.simulation._random import Integers, Mask, RandomStream

#: Parameters that are a share, and so at most 1.
_SHARES = (
    "amount_variation",
    "decline_rate",
    "online_share",
    "partner_stays_share",
    "same_terminal_share",
)
#: Upper limit of all numbers: days of centuries, and amounts beyond any card's limit.
_MAX = 100_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pattern(ABC):
    """A way to commit fraud, with its parameters; a pair of numbers is a range with both ends.

    Raises
    ------
    ArgumentError
        A parameter does not have the form of its default, or ``label_delay_mean`` is less than
        ``label_delay_min``.

    Examples
    --------
    >>> from synfin_analytics.simulation import CardTesting
    >>> CardTesting(payments=(4, 6)).label_delay_mean
    0.32
    """

    #: Value of ``fraud_type``, and values of ``fraud_reason``.
    name: ClassVar[str]
    reasons: ClassVar[tuple[str, ...]]
    #: With drift, it becomes more (1) or less (-1) frequent during the period.
    trend: ClassVar[int] = 0

    #: Weight among all fraudulent transactions.
    weight: float = 1.0
    #: Fraudulent transactions of an episode.
    payments: tuple[int, int] = (1, 1)
    #: Days until the bank learns of it, at least and on average.
    label_delay_min: float = 0.5
    label_delay_mean: float = 3.5
    #: Share of the transactions that are declined.
    decline_rate: float = 0.05

    def __post_init__(self) -> None:
        check_parameters(self, "pattern")
        if self.label_delay_mean < self.label_delay_min:
            raise ArgumentError(
                f"The parameter 'label_delay_mean' of the pattern {self.name!r} must be at least "
                f"'label_delay_min'; got {self.label_delay_mean} and {self.label_delay_min}."
            )

    def is_possible(self, context: FraudContext) -> bool:
        """Whether the world has what the pattern needs."""
        return len(context.payments) > 0

    @abstractmethod
    def commit(self, rng: RandomStream, context: FraudContext, episodes: Episodes) -> Payments:
        """Return the payments of these episodes."""

    def build_payments(
        self,
        rng: RandomStream,
        episodes: Episodes,
        *,
        time: Integers,
        cents: NDArray[np.number],
        labelled_separately: bool = False,
        reason: ArrayLike = 0,
        **columns: ArrayLike,
    ) -> Payments:
        """Build the payments of these episodes, with their labels and statuses.

        The bank learns of all payments of an episode at once, some time after its end; or, if
        ``labelled_separately``, of each payment by itself.
        """
        end = time if labelled_separately else np.maximum.reduceat(time, episodes.first_payment)
        beyond_min = self.label_delay_mean - self.label_delay_min
        days = self.label_delay_min + beyond_min * rng.exponential(len(end))
        label_time = end + days * DAY
        if not labelled_separately:
            label_time = label_time[episodes.index]
        is_declined: Mask = rng.bernoulli(len(time), self.decline_rate)
        return Payments.build(
            len(time),
            time=time,
            cents=np.clip(np.rint(cents), MIN_CENTS, MAX_CENTS),
            status=np.where(is_declined, DECLINED, 0),
            label_time=np.maximum(np.ceil(label_time), time + 60),
            reason=reason,
            **columns,
        )


def check_parameters(instance: Any, kind: str) -> None:
    """Raise if a parameter of a dataclass does not have the form of its default.

    Numbers are not negative and at most 100,000, integers at least 1. Pairs are ranges, the smaller
    number first.

    Raises
    ------
    ArgumentError
        The message has the parameter, its form and an example.
    """
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        is_share = field.name in _SHARES
        if not _is_valid(value, field.default) or (is_share and value > 1):
            form = "a share from 0 to 1" if is_share else _describe_form(field.default)
            raise ArgumentError(
                f"The parameter {field.name!r} of the {kind} {instance.name!r} must be {form}, "
                f"such as {field.default!r}; got {value!r}."
            )


def _is_valid(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        if not isinstance(value, tuple | list) or not value:
            return False
        if not all(_is_valid(element, default[0]) for element in value):
            return False
        return len(default) != 2 or (len(value) == 2 and value[0] <= value[1])
    if isinstance(value, bool) or not isinstance(value, Real) or not float(value) <= _MAX:
        return False
    is_count = isinstance(value, Integral) and int(value) >= 1
    return float(value) >= 0 if isinstance(default, float) else is_count


def _describe_form(default: Any) -> str:
    element = default[0] if isinstance(default, tuple) else default
    is_float = isinstance(element, float)
    if not isinstance(default, tuple):
        return "a number of at least 0" if is_float else "an integer of at least 1"
    limit = "numbers of at least 0" if is_float else "integers of at least 1"
    if len(default) == 2:
        return f"a pair of {limit}, the smaller one first"
    return f"one or more {limit}"
