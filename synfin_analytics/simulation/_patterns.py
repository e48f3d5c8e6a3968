"""Which patterns of fraud are committed, and how often."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.simulation._anomalies import ANOMALIES, Anomaly
from synfin_analytics.simulation._context import Episodes, Scene
from synfin_analytics.simulation._payments import Payments, together
from synfin_analytics.simulation._random import Draws
from synfin_analytics.simulation.card_not_present import (
    AccountTakeover,
    AmountSpike,
    CardTesting,
    RefundAbuse,
)
from synfin_analytics.simulation.card_present import (
    ImpossibleTravel,
    JustBelowLimit,
    NightSpree,
    VelocityBurst,
)
from synfin_analytics.simulation.merchant_fraud import (
    CollusionRing,
    CompromisedMerchant,
    DormantCard,
)

if TYPE_CHECKING:
    from synfin_analytics.simulation._pattern import Pattern
    from synfin_analytics.simulation._random import Floats, Integers

#: All patterns; a fraud's number is its place here, from 1. A new one comes last.
PATTERNS: tuple[type[Pattern], ...] = (
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
NUMBER = {one: number for number, one in enumerate(PATTERNS, 1)}

_FEW = 3
One = TypeVar("One")


def chosen_patterns(patterns: Any) -> list[Pattern]:
    """Patterns with their parameters, in the order of ``PATTERNS``, each at most once."""
    found = _chosen(patterns, {one.name: one for one in PATTERNS}, "pattern")
    return sorted(found, key=lambda one: NUMBER[type(one)])


def chosen_anomalies(anomalies: Any) -> dict[str, Anomaly]:
    """Anomalies with their parameters, by name."""
    found = _chosen(anomalies, {one.name: one for one in ANOMALIES}, "anomaly")
    return {one.name: one for one in found}


def _chosen(given: Any, known: Mapping[str, type[One]], what: str) -> list[One]:
    """Turn ``"all"``, names, objects, or a mapping of names to parameters into objects."""
    if isinstance(given, str):
        given = list(known) if given == "all" else [given]
    if isinstance(given, Iterable) and not isinstance(given, Mapping):
        given = list(given)
        if all(isinstance(one, (str, *known.values())) for one in given):
            given = {getattr(one, "name", one): one for one in given}
    if not isinstance(given, Mapping):
        raise ArgumentError(
            f'{what.capitalize()} names must be "all", a list of names, or a mapping of names to '
            f"parameters; got {given!r}."
        )
    return [_one(name, parameters, known, what) for name, parameters in given.items()]


def _one(name: Any, given: Any, known: Mapping[str, type[One]], what: str) -> One:
    if name not in known:
        raise NotFoundError(what, name, known)
    kind = known[name]
    if isinstance(given, kind):
        return given
    if given is None or given == name:
        return kind()
    if not isinstance(given, Mapping):
        raise ArgumentError(
            f"The parameters of the {what} {name!r} must be a mapping of names to values; "
            f"got {given!r}."
        )
    fields = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for parameter in given:
        if parameter not in fields:
            raise NotFoundError("parameter", parameter, fields, location=f"the {what} {name!r}")
    return kind(**given)


def with_fraud(
    seed: int, scene: Scene, patterns: list[Pattern], fraud_rate: float, drift: float
) -> Payments:
    """All payments, so large a share of which is fraud, or a little less."""
    able = [one for one in patterns if one.weight > 0 and one.possible(scene)]
    budget = _budget(scene, able, fraud_rate)
    while True:
        genuine, parts = _committed(seed, scene, able, budget, drift)
        frauds = sum(len(part) for part in parts)
        excess = frauds - int(fraud_rate * (len(genuine) + frauds))
        if excess <= 0:
            return together([genuine, *parts])
        budget -= excess  # the dormant would have paid more than was expected


def _committed(
    seed: int, scene: Scene, patterns: list[Pattern], budget: int, drift: float
) -> tuple[Payments, list[Payments]]:
    """Genuine payments that are left, and frauds of each pattern."""
    plan = Draws(seed, "plan")
    sizes = _planned(plan, patterns, budget)
    phases = (plan.order(len(patterns)) + plan.uniform(len(patterns))) / max(len(patterns), 1)
    parts = []
    genuine = scene.paid
    # The dormant come last: their silence must not be broken by another fraud.
    in_turn = zip(patterns, phases, strict=True)
    for pattern, phase in sorted(in_turn, key=lambda one: isinstance(one[0], DormantCard)):
        size = sizes[pattern.name]
        if not len(size):
            continue
        draws = Draws(seed, pattern.name)
        # Where a pattern has few episodes, those of all patterns together are spread evenly.
        shares = draws.uniform(len(size)) if len(size) > _FEW else np.full(len(size), phase)
        at = _spread(shares, pattern.trend * drift)
        committed = pattern.commit(draws, scene, Episodes(at, size))
        if isinstance(pattern, DormantCard):
            genuine = genuine.take(~pattern.silences(draws, scene, committed))
        parts.append(committed.changed(fraud=NUMBER[type(pattern)]))
        victims = scene.victims.copy()
        victims[committed.customer] = True
        scene = dataclasses.replace(scene, victims=victims)
    return genuine, parts


def _budget(scene: Scene, patterns: list[Pattern], fraud_rate: float) -> int:
    """Frauds that make so large a share of all payments, when dormant cards pay nothing."""
    silence = 0.0
    for one in patterns:
        if isinstance(one, DormantCard):
            share = one.weight / sum(each.weight for each in patterns)
            per_day = len(scene.paid) / len(scene.world.people) / len(scene.world.calendar)
            # What a customer would have paid, for each fraud of an episode of average length.
            silence = share * per_day * sum(one.inactive_days) / sum(one.payments)
    return int(len(scene.paid) * fraud_rate / (1 - fraud_rate + fraud_rate * silence))


def _planned(draws: Draws, patterns: list[Pattern], budget: int) -> dict[str, Integers]:
    """Sizes of the episodes of each pattern: together at most ``budget``, by their shares."""
    sizes: dict[str, list[int]] = {one.name: [] for one in patterns}
    total = dict.fromkeys(sizes, 0)
    # Where few episodes fit, another seed has others.
    turn = [patterns[at] for at in draws.order(len(patterns))]
    while turn:
        behind = min(turn, key=lambda one: total[one.name] / one.weight)
        least, most = behind.payments
        left = budget - sum(total.values())
        if left < least:
            turn.remove(behind)
            continue
        size = min(int(draws.whole(1, least, most)[0]), left)
        sizes[behind.name].append(size)
        total[behind.name] += size
    return {name: np.array(each, np.int64) for name, each in sizes.items()}


def _spread(shares: Floats, trend: float) -> Floats:
    """Moments of episodes as shares of the period: evenly, or more and more (``trend`` to 1).

    Of a density that grows linearly from 1 - trend to 1 + trend these are the quantiles.
    """
    even = (np.arange(len(shares)) + shares) / max(len(shares), 1)
    if not trend:
        return even
    slope = abs(trend)
    low = 1 - slope
    growing = (np.sqrt(low * low + 4 * slope * even) - low) / (2 * slope)
    return growing if trend > 0 else 1 - growing
