"""What people do without thinking: everyday payments, at home and on journeys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics.simulation._config import ONLINE
from synfin_analytics.simulation._people import PARTNER
from synfin_analytics.simulation._places import COUNTRY_OF
from synfin_analytics.simulation._random import Draws, exp, hashed_share

if TYPE_CHECKING:
    from synfin_analytics.simulation._anomalies import HolidayTravel
    from synfin_analytics.simulation._payments import Payments
    from synfin_analytics.simulation._random import Floats
    from synfin_analytics.simulation._travel import Whereabouts
    from synfin_analytics.simulation._world import World

#: Some days bring many payments and some none: spread of the logarithm of their number.
_UNEVEN = 0.55
#: More is paid on a journey.
_ON_JOURNEYS = 1.3


def everyday(
    draws: Draws, world: World, where: Whereabouts, travel: HolidayTravel | None
) -> Payments:
    """Draw how many payments each customer makes on each day, and what they are."""
    people = world.people
    days = len(world.calendar)
    counts = draws.poisson(_expected(draws, world, where).ravel())
    cell = np.repeat(np.arange(len(counts)), counts)
    customer, day = cell // days, cell % days
    card = world.cards(draws, customer, np.zeros(len(cell), np.bool_))
    place = where.city.ravel()[cell].astype(np.int64)
    home = people.home[customer]
    if travel is not None:
        stays = (card == PARTNER) & (hashed_share(customer, 51) < travel.partner_stays_share)
        place = np.where(stays & where.away.ravel()[cell], home, place)
    category = world.categories(draws, customer, place, day)
    # What is bought online is bought with the card that people like for it.
    online = ONLINE[category]
    card[online] = world.cards(draws, customer[online], np.ones(int(online.sum()), np.bool_))
    time = world.moments(draws, customer, place, day, category)
    # Nobody is in a shop while between two places.
    kept = online | ~where.between.ravel()[cell]
    return world.bought(
        draws, customer[kept], place[kept], category[kept], time[kept], card=card[kept]
    )


def _expected(draws: Draws, world: World, where: Whereabouts) -> Floats:
    """Payments that are to be expected of each customer on each day."""
    people, days = world.people, len(world.calendar)
    n = len(people)
    mean: Floats = world.calendar.rhythm()[COUNTRY_OF[people.home]] * people.per_day[:, None]
    mean *= exp(_UNEVEN * draws.normal(n * days) - _UNEVEN**2 / 2).reshape(n, days)
    mean[where.away] *= _ON_JOURNEYS
    share = (np.arange(days) + 0.5) / days
    asleep = (share >= people.sleeps[:, None]) & (share < people.wakes[:, None])
    mean[asleep] = 0
    return mean
