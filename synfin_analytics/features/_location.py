"""Features of where payments are made: from home, from the one before, from the usual place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.geography import EARTH_RADIUS_KM, great_circle_km, unit_vectors
from synfin_analytics._core.rolling import HOUR, Runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics._core.rolling import Window
    from synfin_analytics.features._calendar import Features
    from synfin_analytics.features.payments import Payments

    Floats = NDArray[np.float64]

#: No airliner is faster, over so many km.
FASTEST_KMH, FAR_KM = 900, 50
#: Moments are of the minute: what lies closer together counts as one minute apart.
LEAST_TIME = 60_000_000
#: Earlier places without which none is unusual; and how many times their spread is.
HABIT, WIDE = 10, 3
#: Coordinates on the unit sphere are added up in units of about 6 micrometres.
_UNIT = 2.0**40
_NUMBERS = (
    "distance_normalized",
    "distance_from_last_normalized",
    "travel_speed_kmh",
    "distance_from_usual",
)
_TRUTHS = ("impossible_travel", "unusual_location")
_MILLIMETRES = 1_000_000  # in a km


def place_features(payments: Payments) -> Features:
    """Compare the place of each payment with those before."""
    wanted, here = payments.wanted, (payments.latitude, payments.longitude)
    known = ~np.isnan(payments.latitude)
    if all(np.isnan(each).all() for each in (*here, payments.from_home, payments.from_last)):
        rows = int(wanted.sum())
        return dict.fromkeys(_NUMBERS, np.full(rows, np.nan)) | dict.fromkeys(
            _TRUTHS, -np.ones(rows)
        )
    last = Runs(payments.customer, payments.at, counted=known).window(include_current=False).last()
    some = last >= 0
    moved = np.full(len(last), np.nan)
    there = (each[last[some]] for each in here)
    moved[some] = great_circle_km(*there, *(each[some] for each in here))
    hours = np.maximum(payments.at - payments.at[last], LEAST_TIME) / HOUR
    speed = np.where(some, moved / hours, np.nan)[wanted]
    home = (payments.home_latitude, payments.home_longitude)
    from_home = _first(payments.from_home, great_circle_km(*home, *here))
    from_last = _first(payments.from_last, moved)
    too_fast = (speed > FASTEST_KMH) & (moved[wanted] > FAR_KM)
    return {
        "distance_normalized": _against_mean(payments, from_home),
        "distance_from_last_normalized": _against_mean(payments, from_last),
        "travel_speed_kmh": speed,
        "impossible_travel": np.where(np.isnan(speed), -1, too_fast),
        **_usual(payments, known),
    }


def _first(given: Floats, computed: Floats) -> Floats:
    return np.where(np.isnan(given), computed, given)


def _against_mean(payments: Payments, km: Floats) -> Floats:
    """Distance by the mean of the customer's earlier ones and one km more, which is never 0."""
    counted = ~np.isnan(km)
    whole = np.rint(np.where(counted, km, 0) * _MILLIMETRES).astype(np.int64)
    before = _before(payments, counted)
    return km[payments.wanted] / (1 + before.mean(whole) / _MILLIMETRES)


def _usual(payments: Payments, known: NDArray[np.bool_]) -> Features:
    """Distance from the middle of the customer's earlier places, and whether that is unusual.

    The mean of points on the unit sphere lies below its surface, the deeper the wider they are
    spread: 1 - |mean|**2 is the mean square of their distances from it.
    """
    before = _before(payments, known)
    count = before.count()
    points = unit_vectors(payments.latitude, payments.longitude)
    units = (np.rint(np.where(known, each, 0) * _UNIT).astype(np.int64) for each in points)
    x, y, z = (ratio(before.sum(each), count) / _UNIT for each in units)
    middle = np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))
    here = payments.latitude[payments.wanted], payments.longitude[payments.wanted]
    km = great_circle_km(*middle, *here)
    spread = EARTH_RADIUS_KM * np.sqrt(np.maximum(1 - (x * x + y * y + z * z), 0))
    open_ = np.isnan(km) | (count < HABIT)
    return {
        "distance_from_usual": km,
        "unusual_location": np.where(open_, -1, km > np.maximum(FAR_KM, WIDE * spread)),
    }


def _before(payments: Payments, counted: NDArray[np.bool_]) -> Window:
    runs = Runs(payments.customer, payments.at, counted=counted, rows=payments.wanted)
    return runs.window(include_current=False)
