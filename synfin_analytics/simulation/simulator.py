"""Simulate card payments: genuine ones, frauds, and what only looks like fraud."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from synfin_analytics._core import arguments
from synfin_analytics._core.fork import require_thread_pool
from synfin_analytics._core.html import table_html
from synfin_analytics._core.output import Output, check_output, to_frame
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.simulation import _recurring as habits
from synfin_analytics.simulation._aggregates import of_customers, of_merchants
from synfin_analytics.simulation._anomalies import Anomaly, HolidayTravel, LargePurchase
from synfin_analytics.simulation._context import Scene
from synfin_analytics.simulation._genuine import everyday
from synfin_analytics.simulation._patterns import chosen_anomalies, chosen_patterns, with_fraud
from synfin_analytics.simulation._payments import DAY, Payments, in_order, together
from synfin_analytics.simulation._people import customer_columns, settle
from synfin_analytics.simulation._random import Draws
from synfin_analytics.simulation._shops import merchant_columns, open_shops
from synfin_analytics.simulation._to_tables import described
from synfin_analytics.simulation._travel import Calendar, Whereabouts, far, whereabouts
from synfin_analytics.simulation._world import World

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

    from synfin_analytics.simulation._pattern import Pattern

_MOST_FRAUD = 0.1
#: The days that a calendar of ours and of PostgreSQL both know well.
_YEARS = (1900, 2200)


class Simulation(NamedTuple):
    """Three frames that :func:`synfin_analytics.load_df` takes as they are, in this order."""

    customers: Any
    merchants: Any
    transactions: Any

    def __repr__(self) -> str:
        return f"Simulation({', '.join(f'{rows} {table}' for table, rows, _ in self._facts())})"

    def _repr_html_(self) -> str:
        rows = [[f".{table}", rows, columns] for table, rows, columns in self._facts()]
        return table_html(["frame", "rows", "columns"], rows, caption=repr(self))

    def _facts(self) -> list[tuple[str, str, str]]:
        """Say how large each frame is."""
        return [
            (table, f"{frame.shape[0]:,}", f"{frame.shape[1]}")
            for table, frame in self._asdict().items()
        ]


def simulate(
    customers: int = 500,
    merchants: int = 200,
    days: int = 90,
    seed: int = 0,
    *,
    fraud_rate: float = 0.008,
    patterns: str | Iterable[str | Pattern] | Mapping[str, Mapping[str, Any] | Pattern] = "all",
    anomalies: str | Iterable[str | Anomaly] | Mapping[str, Mapping[str, Any] | Anomaly] = "all",
    drift: float = 0.0,
    start: dt.date = dt.date(2025, 1, 1),
    output: Output = "pandas",
) -> Simulation:
    """Simulate card payments with labelled fraud; the same seed gives the same payments.

    Nobody in it exists. How people live and pay, and what each pattern of fraud does, is told in
    docs/simulation.md.

    Parameters
    ----------
    customers, merchants
        How many there are.
    days
        How long they are watched; a customer pays a little more than once a day.
    seed
        Of the random numbers: the same rows on every machine.
    fraud_rate
        Share of the transactions that are fraud, at most, and nearly: less where so few are
        wanted that no whole episode fits.
    patterns
        Which frauds are committed: ``"all"``, names, or a mapping of names to parameters that
        differ from the usual ones, such as ``{"card_testing": {"amount": (1, 2)}}``. None at all:
        ``[]``. One that the world is too small for is left out, as is impossible travel without
        merchants abroad.
    anomalies
        What looks like fraud and is none, in the same way: holiday_travel, large_purchase.
    drift
        How much changes in the course of the period, from 0 (nothing) to 1: frauds from afar grow
        and those with a card in hand fade, purchases move to the web, and prices rise.
    start
        The first day (UTC).
    output
        ``"pandas"``, ``"polars"`` or ``"arrow"``.

    Returns
    -------
    Simulation
        ``customers``, ``merchants`` and ``transactions``, the last in the order of time.

    Raises
    ------
    ArgumentError
        A value is outside of what is said above.
    NotFoundError
        There is no such pattern, anomaly or parameter; the message names the nearest.

    Examples
    --------
    >>> world = simulate(customers=50, merchants=20, days=30, seed=1, output="polars")
    >>> len(world.customers), len(world.merchants)
    (50, 20)
    >>> world.transactions["is_fraud"].mean() < 0.01
    True
    >>> spikes = simulate(50, 20, 30, patterns={"amount_spike": {"amount_ratio": (20, 30)}})
    >>> spikes.transactions["fraud_type"].dropna().unique().tolist()
    ['amount_spike']
    """
    require_thread_pool()
    _check(customers, merchants, days, seed, fraud_rate, drift, start)
    # A seed of NumPy is the same seed.
    customers, merchants, days, seed = (int(one) for one in (customers, merchants, days, seed))
    fraud_rate, drift = float(fraud_rate), float(drift)
    check_output(output)
    frauds, harmless = chosen_patterns(patterns), chosen_anomalies(anomalies)
    world = World.of(
        settle(Draws(seed, "customers"), customers, merchants),
        open_shops(Draws(seed, "merchants"), merchants),
        Calendar.of(start, days),
        drift,
    )
    genuine = _genuine(seed, world, harmless)
    scene = Scene(
        world,
        genuine,
        habits.usual_amounts(genuine, customers),
        np.zeros(customers, np.bool_),
    )
    paid = in_order(with_fraud(seed, scene, frauds, fraud_rate, drift), days)
    return Simulation(
        _as(
            customer_columns(Draws(seed, "details"), world.people, start).with_columns(
                **of_customers(paid, world)
            ),
            output,
        ),
        _as(merchant_columns(world.shops).with_columns(**of_merchants(paid, world)), output),
        _as(described(paid, world), output),
    )


def _genuine(seed: int, world: World, harmless: dict[str, Anomaly]) -> Payments:
    """Payments without fraud, in the order of time."""
    travel, large = harmless.get("holiday_travel"), harmless.get("large_purchase")
    travel = travel if isinstance(travel, HolidayTravel) else None
    cities = world.shops.open_cities()
    where = whereabouts(Draws(seed, "journeys"), world.people, world.calendar, travel, cities)
    by_habit = everyday(Draws(seed, "everyday"), world, where, travel)
    draws = Draws(seed, "habits")
    paid = together([by_habit, *habits.in_a_row(draws, world, by_habit)])
    paid = together([paid, habits.returned(draws, world, paid)])
    paid = habits.asleep(world, together([paid, *habits.subscriptions(draws, world)]))
    if isinstance(large, LargePurchase):
        usual = habits.usual_amounts(paid, len(world.people))
        bought = habits.large_purchases(Draws(seed, "large purchases"), world, usual, large)
        paid = together([paid, *bought])
    paid = in_order(paid, len(world.calendar))
    if travel is None:
        return paid
    return paid.changed(anomaly=np.where(_on_journey(world, where, paid, travel), 1, paid.anomaly))


def _on_journey(
    world: World, where: Whereabouts, paid: Payments, travel: HolidayTravel
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    day = paid.time // DAY
    home = world.people.home[paid.customer]
    there = where.city[paid.customer, day].astype(np.int64)
    away = where.away[paid.customer, day] & (paid.place == there) & (paid.anomaly == 0)
    found: np.ndarray[tuple[int], np.dtype[np.bool_]] = away & far(home, there, travel.min_km)
    return found


def _check(
    customers: object,
    merchants: object,
    days: object,
    seed: object,
    fraud_rate: object,
    drift: object,
    start: object,
) -> None:
    for name, value, least in (
        ("customers", customers, 1), ("merchants", merchants, 1), ("days", days, 1),
        ("seed", seed, 0),
    ):  # fmt: skip
        arguments.check_integer(value, name, minimum=least)
    for name, share, most in (("fraud_rate", fraud_rate, _MOST_FRAUD), ("drift", drift, 1)):
        must_be = f"a number from 0 to {most}"
        if arguments.check_number(share, name, must_be, minimum=0) > most:
            raise ArgumentError(f"`{name}` must be {must_be}; got {share!r}.")
    if isinstance(start, dt.datetime) or not isinstance(start, dt.date):
        raise ArgumentError(
            f"`start` must be a date, such as datetime.date(2025, 1, 1); got {start!r}."
        )
    if not _YEARS[0] <= start.year <= _YEARS[1]:
        raise ArgumentError(
            f"`start` must be in the years {_YEARS[0]} to {_YEARS[1]}; got {start}."
        )


def _as(frame: pl.DataFrame, kind: Output) -> Any:
    if kind == "polars":
        return frame
    table = frame.to_arrow()
    return to_frame({name: (table[name].type, table[name].chunks) for name in frame.columns}, kind)
