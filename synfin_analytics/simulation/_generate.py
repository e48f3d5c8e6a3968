"""From the sizes and options of a world to its three tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.simulation._payments import sort_by_time
from synfin_analytics.simulation._population import create_customers, create_merchants
from synfin_analytics.simulation._random import RandomStream, hash_bits
from synfin_analytics.simulation._tables import (
    Taken,
    customer_table,
    merchant_table,
    transaction_table,
)
from synfin_analytics.simulation._world import Calendar, World, set_device_type
from synfin_analytics.simulation.genuine import mean_amounts, simulate_genuine
from synfin_analytics.simulation.pattern import FraudContext
from synfin_analytics.simulation.patterns import add_fraud

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from synfin_analytics.simulation._payments import Payments
    from synfin_analytics.simulation.genuine import Anomaly
    from synfin_analytics.simulation.pattern import Pattern


@dataclass(frozen=True)
class WorldOptions:
    """What a world contains."""

    n_customers: int
    n_merchants: int
    seed: int
    calendar: Calendar
    fraud_rate: float
    patterns: list[Pattern]
    anomalies: Mapping[str, Anomaly]
    drift: float
    #: Number of the part in a world of several; the devices of each part are others.
    part: int = 0


def simulate_tables(options: WorldOptions, taken: Taken) -> tuple[dict[str, pl.DataFrame], Taken]:
    """Return the tables by name, in the order in which they can be loaded.

    Parameters
    ----------
    options
        The world, or a part of one.
    taken
        Numbers of ids that earlier parts have.

    Returns
    -------
    tuple
        The tables, and the numbers of ids that are used after them.
    """
    seed, n_customers = options.seed, options.n_customers
    world = World(
        create_customers(RandomStream(seed, "customers"), n_customers, options.n_merchants),
        create_merchants(RandomStream(seed, "merchants"), options.n_merchants),
        options.calendar,
        options.drift,
    )
    genuine = simulate_genuine(seed, world, options.anomalies)
    context = FraudContext(
        world, genuine, mean_amounts(genuine, n_customers), np.zeros(n_customers, np.bool_)
    )
    payments = add_fraud(seed, context, options.patterns, options.fraud_rate)
    payments = sort_by_time(payments, len(options.calendar))
    if options.part:
        payments = _replace_devices(payments, options.part)
    tables = {
        "customers": customer_table(RandomStream(seed, "details"), world, payments, taken),
        "merchants": merchant_table(world, payments, taken),
        "transactions": transaction_table(payments, world, taken),
    }
    taken = Taken(
        taken.customers + n_customers,
        taken.merchants + options.n_merchants,
        taken.transactions + len(payments),
        taken.devices + len(np.unique(payments.device[payments.device > 0])),
    )
    return tables, taken


def _replace_devices(payments: Payments, part: int) -> Payments:
    """Return the payments with devices, and so IP addresses, that no other part has.

    The devices of genuine customers follow from the customers' numbers within the part.
    """
    device = payments.device
    replaced = set_device_type(hash_bits(device, part), (device & np.uint64(3)).astype(np.int64))
    return payments.replace(device=np.where(device > 0, replaced, device))
