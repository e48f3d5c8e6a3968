"""Customers of the simulated world: who they are, and how they live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from synfin_analytics.simulation._config import INCOMES, LOG_MEANS, PERSONAS
from synfin_analytics.simulation._places import CITIES, COUNTRY_OF, HOME, coordinates
from synfin_analytics.simulation._random import Draws, exp, hashed_share

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from synfin_analytics.simulation._random import Floats, Integers, Mask

#: Cards of a customer, by number.
MAIN, SECOND, PARTNER = range(3)
#: Kinds of card, by number.
CARD_TYPES = ("debit", "credit", "prepaid")
#: Homes in a city lie a few kilometres from its middle: standard deviation in degrees.
_AROUND = 0.025
_SLEEPERS = 25  # one customer in so many falls asleep
#: So many merchants let a city have shops of all sorts.
MERCHANTS_OF_A_CITY = 12


@dataclass(frozen=True)
class People:
    """Traits of each customer, by number."""

    persona: Integers
    home: Integers
    latitude: Floats
    longitude: Floats
    income: Integers
    #: Logarithm of what is spent on things, against the average; payments on an average day.
    level: Floats
    per_day: Floats
    has_second: Mask
    has_partner: Mask
    wallet: Mask
    plays: Mask
    #: Share of the period after which the customer stops paying; 2 for nearly all, who never do.
    sleeps: Floats
    #: Share of the period after which a sleeper pays again.
    wakes: Floats

    def __len__(self) -> int:
        return len(self.persona)

    def country(self, customer: Integers) -> Integers:
        """Country where customers live, as a number of ``COUNTRIES``."""
        found: Integers = COUNTRY_OF[self.home[customer]]
        return found

    def card_type(self, customer: Integers, card: NDArray[np.integer]) -> Integers:
        """Kind of each card, as a number of ``CARD_TYPES``."""
        student = self.persona[customer] == 0
        prepaid = student & (hashed_share(customer, 11) < 0.25)
        kinds = np.where(prepaid, CARD_TYPES.index("prepaid"), CARD_TYPES.index("debit"))
        return np.where(card == SECOND, CARD_TYPES.index("credit"), kinds)


def settle(draws: Draws, customers: int, merchants: int) -> People:
    """Make customers, who live where there are merchants."""
    n = customers
    cities = home_cities(merchants)
    persona = draws.pick(n, [one.share for one in PERSONAS])
    home = draws.pick(n, [city.weight for city in HOME[:cities]])
    incomes = np.cumsum([one.income for one in PERSONAS], axis=1)[persona]
    income = np.minimum((draws.uniform(n)[:, None] >= incomes).sum(axis=1), len(INCOMES) - 1)
    latitude, longitude = coordinates(home)
    sleeps = np.full(n, 2.0)
    asleep = draws.order(n)[: max(n // _SLEEPERS, min(n // 10, 1))]
    sleeps[asleep] = draws.uniform(len(asleep), 0.02, 0.5)
    # Some sleepers wake by themselves, the others never.
    wakes = np.where(draws.chance(n, 0.4), sleeps + draws.uniform(n, 0.35, 0.6), 2.0)

    def share(name: str) -> Mask:
        return draws.chance(n, np.array([getattr(one, name) for one in PERSONAS])[persona])

    return People(
        persona=persona,
        home=home,
        latitude=np.round(latitude + _AROUND * draws.normal(n), 4),
        longitude=np.round(longitude + 1.5 * _AROUND * draws.normal(n), 4),
        income=income,
        level=np.array(LOG_MEANS)[income] + 0.3 * draws.normal(n),
        per_day=np.array([one.per_day for one in PERSONAS])[persona]
        * exp(0.45 * draws.normal(n) - 0.1),
        has_second=draws.chance(n, np.array([0.3, 0.55, 0.85])[income]),
        has_partner=share("partner"),
        wallet=share("wallet"),
        plays=share("plays"),
        sleeps=sleeps,
        wakes=wakes,
    )


def home_cities(merchants: int) -> int:
    """Count the cities in which customers live: as many as have shops of all sorts."""
    return int(np.clip(merchants * 2 // 3 // MERCHANTS_OF_A_CITY, 1, len(HOME)))


def customer_columns(draws: Draws, people: People, start: dt.date) -> pl.DataFrame:
    """Make what the bank knows of its customers; no name or address belongs to anybody."""
    n = len(people)
    numbers = np.arange(1, n + 1)
    youngest, oldest = np.array([one.ages for one in PERSONAS])[people.persona].T
    age = draws.whole(n, youngest, oldest)
    day_one = np.datetime64(start, "D")
    born = day_one - (age * 365.25).astype(np.int64) - draws.whole(n, 1, 364)
    longest = np.minimum((age - 17) * 365, 9000)
    opened = day_one - draws.whole(n, 30, np.maximum(longest, 31))
    opening = draws.whole(n, 8 * 3600, 17 * 3600)
    female = draws.chance(n, 0.51)
    first_names = pl.Series(_FEMALE + _MALE)
    name = draws.whole(n, 0, len(_FEMALE) - 1) + np.where(female, 0, len(_FEMALE))
    job = np.array([len(one.occupations) for one in PERSONAS])[people.persona]
    offset = np.cumsum([0] + [len(one.occupations) for one in PERSONAS])[people.persona]
    jobs = pl.Series([job for one in PERSONAS for job in one.occupations])
    home = people.home
    credit = 640 + 45 * (people.income - 1) + 0.8 * (age - 45) + 70 * draws.normal(n)
    return pl.DataFrame(
        {
            "customer_id": customer_ids(n),
            "first_name": first_names.gather(name),
            "last_name": [f"Example {number}" for number in numbers],
            "email": [f"c{number:06d}@example.com" for number in numbers],
            "phone": [f"+32 000 {number:06d}" for number in numbers],
            "date_of_birth": born,
            "age": age.astype(np.int16),
            "gender": pl.Series(["female", "male"]).gather((~female).astype(np.int64)),
            "occupation": jobs.gather(offset + draws.whole(n, 0, job - 1)),
            "income_level": pl.Series(INCOMES).gather(people.income),
            "address": [f"{number} Example Street" for number in draws.whole(n, 1, 250)],
            "city": of_city("name").gather(home),
            "state": of_city("state").gather(home),
            "country": of_city("country").gather(home),
            "zip_code": of_city("zip_code").gather(home),
            "latitude": people.latitude,
            "longitude": people.longitude,
            "account_created": pl.Series(
                opened.astype("M8[us]") + opening.astype("m8[s]")
            ).dt.replace_time_zone("UTC"),
            "credit_score": np.clip(np.rint(credit), 300, 850).astype(np.int16),
        }
    )


def customer_ids(n: int) -> pl.Series:
    """Keys of customers, in the order of their numbers."""
    return numbered("C", n, 6)


def numbered(letter: str, n: int, digits: int) -> pl.Series:
    """Keys that count from 1."""
    return pl.select(
        pl.concat_str(pl.lit(letter), pl.int_range(1, n + 1).cast(pl.String).str.zfill(digits))
    ).to_series()


def of_city(field: str) -> pl.Series:
    """One field of all cities."""
    return pl.Series([getattr(city, field) for city in CITIES])


_FEMALE = ("Ada", "Beatrix", "Clara", "Dora", "Edith", "Flora", "Greta", "Hedda", "Ida", "Julia")
_MALE = ("Adam", "Bruno", "Cyril", "Daniel", "Emil", "Felix", "Georg", "Hugo", "Ivan", "Jonas")
