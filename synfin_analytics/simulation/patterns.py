"""Which fraud patterns and anomalies are simulated, and how often."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from synfin_analytics._core.arguments import format_value
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.simulation._payments import Payments, concatenate
from synfin_analytics.simulation._random import RandomStream
from synfin_analytics.simulation.card_fraud import (
    AccountTakeover,
    AmountSpike,
    CardTesting,
    DormantCard,
    ImpossibleTravel,
    JustBelowLimit,
    NightSpree,
    VelocityBurst,
)
from synfin_analytics.simulation.genuine import Anomaly, HolidayTravel, LargePurchase
from synfin_analytics.simulation.merchant_fraud import (
    CollusionRing,
    CompromisedMerchant,
    RefundAbuse,
)
from synfin_analytics.simulation.pattern import Episodes, FraudContext

if TYPE_CHECKING:
    from synfin_analytics.simulation._random import Floats, Integers
    from synfin_analytics.simulation.pattern import Pattern

#: All fraud patterns by name. A fraud's number is the position of its pattern, from 1: add new
#: patterns at the end.
PATTERNS: Mapping[str, type[Pattern]] = {
    pattern.name: pattern
    for pattern in (
        CardTesting,
        VelocityBurst,
        ImpossibleTravel,
        AmountSpike,
        CompromisedMerchant,
        AccountTakeover,
        DormantCard,
        JustBelowLimit,
        NightSpree,
        CollusionRing,
        RefundAbuse,
    )
}
#: All anomalies by name.
ANOMALIES: Mapping[str, type[Anomaly]] = {
    anomaly.name: anomaly for anomaly in (HolidayTravel, LargePurchase)
}
_NUMBERS = {name: number for number, name in enumerate(PATTERNS, 1)}

#: A pattern with at most this number of episodes shares an even spread with the other patterns.
_FEW_EPISODES = 3
ChoiceT = TypeVar("ChoiceT")


def select_patterns(patterns: Any) -> list[Pattern]:
    """Return patterns with their parameters, each at most once, in the order of ``PATTERNS``."""
    selected = _select(patterns, PATTERNS, "pattern")
    return sorted(selected, key=lambda pattern: _NUMBERS[pattern.name])


def select_anomalies(anomalies: Any) -> dict[str, Anomaly]:
    """Return anomalies with their parameters, by name."""
    selected = _select(anomalies, ANOMALIES, "anomaly")
    return {anomaly.name: anomaly for anomaly in selected}


def _select(choice: Any, available: Mapping[str, type[ChoiceT]], kind: str) -> list[ChoiceT]:
    """Convert ``"all"``, names, objects, or a mapping of names to parameters into objects."""
    parameter = {"pattern": "patterns", "anomaly": "anomalies"}[kind]
    if isinstance(choice, str):
        choice = list(available) if choice == "all" else [choice]
    if isinstance(choice, Iterable) and not isinstance(choice, Mapping):
        elements = list(choice)
        if all(isinstance(element, (str, *available.values())) for element in elements):
            choice = {getattr(element, "name", element): element for element in elements}
    if not isinstance(choice, Mapping):
        raise ArgumentError(
            f'`{parameter}` must be "all", a list of names, or a mapping of names to parameters; '
            f"got {format_value(choice)}."
        )
    return [_build(name, value, available, kind) for name, value in choice.items()]


def _build(name: Any, value: Any, available: Mapping[str, type[ChoiceT]], kind: str) -> ChoiceT:
    if name not in available:
        raise NotFoundError(kind, name, available)
    cls = available[name]
    if isinstance(value, cls):
        return value
    if value is None or value == name:
        return cls()
    if not isinstance(value, Mapping):
        raise ArgumentError(
            f"The parameters of the {kind} {name!r} must be a mapping of names to values; "
            f"got {format_value(value)}."
        )
    fields = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for parameter in value:
        if parameter not in fields:
            raise NotFoundError("parameter", parameter, fields, location=f"the {kind} {name!r}")
    return cls(**value)


def add_fraud(
    seed: int, context: FraudContext, patterns: list[Pattern], fraud_rate: float
) -> Payments:
    """Return all payments, of which at most the share ``fraud_rate`` is fraud, and nearly that."""
    possible = [
        pattern for pattern in patterns if pattern.weight > 0 and pattern.is_possible(context)
    ]
    budget = _estimate_budget(context, possible, fraud_rate)
    while True:
        genuine, parts = _commit(seed, context, possible, budget)
        n_frauds = sum(len(part) for part in parts)
        excess = n_frauds - int(fraud_rate * (len(genuine) + n_frauds))
        if excess <= 0:
            return concatenate([genuine, *parts])
        budget -= excess  # dormant cards suppressed more payments than estimated


def _commit(
    seed: int, context: FraudContext, patterns: list[Pattern], budget: int
) -> tuple[Payments, list[Payments]]:
    """Return the genuine payments that remain, and the frauds of each pattern."""
    rng = RandomStream(seed, "plan")
    sizes = _plan_sizes(rng, patterns, budget)
    phases = rng.permutation(len(patterns)) + rng.uniform(len(patterns))
    phases = phases / max(len(patterns), 1)
    parts = []
    context = dataclasses.replace(context, is_victim=context.is_victim.copy())
    genuine = context.payments
    # Dormant cards come last: no other fraud may interrupt their inactivity.
    ordered = sorted(
        zip(patterns, phases, strict=True), key=lambda pair: isinstance(pair[0], DormantCard)
    )
    for pattern, phase in ordered:
        size = sizes[pattern.name]
        if not len(size):
            continue
        rng = RandomStream(seed, pattern.name)
        has_many = len(size) > _FEW_EPISODES
        shares = rng.uniform(len(size)) if has_many else np.full(len(size), phase)
        period_share = _spread_over_period(shares, pattern.trend * context.world.drift)
        episodes = Episodes(context, rng, period_share, size)
        fraud = pattern.commit(episodes)
        if isinstance(pattern, DormantCard):
            genuine = genuine.take(~pattern.is_suppressed(episodes, fraud))
        parts.append(fraud.replace(fraud=_NUMBERS[pattern.name]))
        context.is_victim[fraud.customer] = True
    return genuine, parts


def _estimate_budget(context: FraudContext, patterns: list[Pattern], fraud_rate: float) -> int:
    """Return the number of frauds for the fraud rate, given what dormant cards suppress."""
    suppressed = 0.0
    for pattern in patterns:
        if isinstance(pattern, DormantCard):
            share = pattern.weight / sum(other_pattern.weight for other_pattern in patterns)
            n_customers, days = len(context.world.customers), len(context.world.calendar)
            per_day = len(context.payments) / n_customers / days
            # Genuine payments suppressed for each fraud of an episode of average length.
            suppressed = share * per_day * sum(pattern.inactive_days) / sum(pattern.payments)
    return int(len(context.payments) * fraud_rate / (1 - fraud_rate + fraud_rate * suppressed))


def _plan_sizes(rng: RandomStream, patterns: list[Pattern], budget: int) -> dict[str, Integers]:
    """Return the sizes of each pattern's episodes: together at most ``budget``, by weight."""
    sizes: dict[str, list[int]] = {pattern.name: [] for pattern in patterns}
    total = dict.fromkeys(sizes, 0)
    # Where few episodes fit, another seed has others.
    pending = [patterns[position] for position in rng.permutation(len(patterns))]
    while pending:
        pattern = min(pending, key=lambda pattern: total[pattern.name] / pattern.weight)
        smallest, largest = pattern.payments
        remaining = budget - sum(total.values())
        if remaining < smallest:
            pending.remove(pattern)
            continue
        size = min(int(rng.integers(1, smallest, largest)[0]), remaining)
        sizes[pattern.name].append(size)
        total[pattern.name] += size
    return {name: np.array(counts, np.int64) for name, counts in sizes.items()}


def _spread_over_period(shares: Floats, trend: float) -> Floats:
    """Return when episodes start: evenly, or with a ``trend`` from -1 (fading) to 1 (growing).

    These are the quantiles of a density that grows linearly from 1 - trend to 1 + trend.
    """
    even = (np.arange(len(shares)) + shares) / max(len(shares), 1)
    if not trend:
        return even
    slope = abs(trend)
    low = 1 - slope
    growing = (np.sqrt(low * low + 4 * slope * even) - low) / (2 * slope)
    return growing if trend > 0 else 1 - growing
