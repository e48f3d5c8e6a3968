"""Features of where payments are made: distances from home, the last place and the usual area."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from synfin_analytics._core.arithmetic import EARTH_RADIUS_KM, great_circle_km, ratio, unit_vectors
from synfin_analytics._core.grouped import HOUR, MINUTE, GroupedRolling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from synfin_analytics._core.grouped import Window
    from synfin_analytics.features._calendar import Features
    from synfin_analytics.features._payments import Payments

    Floats = NDArray[np.float64]

#: Faster than an airliner, over a distance of more than so many km.
_MAX_SPEED_KMH, _FAR_KM = 900, 50
#: Timestamps may be of the minute: payments closer in time count as one minute apart.
_MIN_TIME = MINUTE
#: Earlier places needed to call one unusual; and from how many times their spread.
_MIN_HISTORY, _SPREADS = 10, 3
#: Coordinates on the unit sphere are summed in units of about 6 micrometres.
_UNITS = 2.0**40
_NUMBERS = (
    "distance_normalized",
    "distance_from_last_normalized",
    "travel_speed_kmh",
    "distance_from_usual",
)
_BOOLEANS = ("impossible_travel", "unusual_location")
_MILLIMETRES = 1_000_000  # in a km


def location_features(payments: Payments) -> Features:
    """Compare the place of each payment with the earlier ones."""
    selected, place = payments.selected, (payments.latitude, payments.longitude)
    distances = (payments.distance_from_home, payments.distance_from_last)
    if all(np.isnan(column).all() for column in (*place, *distances)):
        n_rows = int(selected.sum())
        missing = dict.fromkeys(_NUMBERS, np.full(n_rows, np.nan))
        return missing | dict.fromkeys(_BOOLEANS, -np.ones(n_rows))
    has_place = ~np.isnan(payments.latitude)
    last = (
        GroupedRolling(payments.customer, payments.timestamp, counted=has_place)
        .window(include_current=False)
        .last_row()
    )
    has_last = last >= 0
    moved = np.full(len(last), np.nan)
    last_place = (degrees[last[has_last]] for degrees in place)
    moved[has_last] = great_circle_km(*last_place, *(degrees[has_last] for degrees in place))
    hours = np.maximum(payments.timestamp - payments.timestamp[last], _MIN_TIME) / HOUR
    speed = np.where(has_last, moved / hours, np.nan)[selected]
    home = (payments.home_latitude, payments.home_longitude)
    from_home = _fill_missing(payments.distance_from_home, great_circle_km(*home, *place))
    from_last = _fill_missing(payments.distance_from_last, moved)
    too_fast = (speed > _MAX_SPEED_KMH) & (moved[selected] > _FAR_KM)
    return {
        "distance_normalized": _relative_to_mean(payments, from_home),
        "distance_from_last_normalized": _relative_to_mean(payments, from_last),
        "travel_speed_kmh": speed,
        "impossible_travel": np.where(np.isnan(speed), -1, too_fast),
        **_usual_area(payments, has_place),
    }


def _fill_missing(values: Floats, computed: Floats) -> Floats:
    return np.where(np.isnan(values), computed, values)


def _relative_to_mean(payments: Payments, km: Floats) -> Floats:
    """Divide distances by the mean of the customer's earlier ones plus one km, which is never 0."""
    present = ~np.isnan(km)
    millimetres = np.rint(np.where(present, km, 0) * _MILLIMETRES).astype(np.int64)
    mean_km = _earlier(payments, present).mean(millimetres) / _MILLIMETRES
    return km[payments.selected] / (1 + mean_km)


def _usual_area(payments: Payments, has_place: NDArray[np.bool_]) -> Features:
    """Return the distance from the centre of the customer's earlier places, and if it is unusual.

    The mean of points on the unit sphere lies below its surface, the deeper the wider they are
    spread: 1 - |mean|**2 is their mean squared distance from it.
    """
    earlier = _earlier(payments, has_place)
    count = earlier.count()
    points = unit_vectors(payments.latitude, payments.longitude)
    units = (np.rint(np.where(has_place, axis, 0) * _UNITS).astype(np.int64) for axis in points)
    x, y, z = (ratio(earlier.sum(axis), count) / _UNITS for axis in units)
    centre = np.degrees(np.arctan2(z, np.hypot(x, y))), np.degrees(np.arctan2(y, x))
    place = payments.latitude[payments.selected], payments.longitude[payments.selected]
    km = great_circle_km(*centre, *place)
    spread = EARTH_RADIUS_KM * np.sqrt(np.maximum(1 - (x * x + y * y + z * z), 0))
    undefined = np.isnan(km) | (count < _MIN_HISTORY)
    unusual = km > np.maximum(_FAR_KM, _SPREADS * spread)
    return {"distance_from_usual": km, "unusual_location": np.where(undefined, -1, unusual)}


def _earlier(payments: Payments, counted: NDArray[np.bool_]) -> Window:
    rolling = GroupedRolling(
        payments.customer, payments.timestamp, counted=counted, selected=payments.selected
    )
    return rolling.window(include_current=False)
