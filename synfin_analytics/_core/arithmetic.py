"""Arithmetic on arrays: ratios, and distances on the globe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from synfin_analytics._core.types import Floats


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> Floats:
    """Divide; a rate of nothing (0/0) is NaN, never 0.

    Parameters
    ----------
    numerator, denominator
        Numbers or arrays.

    Returns
    -------
    numpy.ndarray
        The quotient, NaN where the denominator is 0.

    Examples
    --------
    >>> ratio([3, 0], [40, 0])
    array([0.075,   nan])
    """
    denominator = np.asarray(denominator, dtype=np.float64)
    # The placeholder divisor only avoids a warning of NumPy; its quotient is not returned.
    quotient = np.asarray(numerator, dtype=np.float64) / np.where(denominator == 0, 1, denominator)
    return np.where(denominator == 0, np.nan, quotient)


#: Mean radius of the Earth in km (IUGG, R1).
EARTH_RADIUS_KM = 6371.0088


def great_circle_km(
    latitude: ArrayLike, longitude: ArrayLike, to_latitude: ArrayLike, to_longitude: ArrayLike
) -> Floats:
    """Return the great-circle distance in km between places in degrees; NaN where one is NaN.

    The haversine formula (R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68, 1984) on
    a sphere, which differs from the ellipsoid by at most 0.6%.

    Examples
    --------
    >>> great_circle_km(50.85, 4.35, 48.86, 2.35).round()  # Brussels to Paris
    np.float64(264.0)
    """
    from_north, to_north, from_east, to_east = (
        np.radians(np.asarray(degrees, dtype=np.float64))
        for degrees in (latitude, to_latitude, longitude, to_longitude)
    )
    haversine = (
        np.sin((to_north - from_north) / 2) ** 2
        + np.cos(from_north) * np.cos(to_north) * np.sin((to_east - from_east) / 2) ** 2
    )
    # Rounding may take the antipode slightly beyond 1.
    angle = 2 * np.arcsin(np.sqrt(np.minimum(haversine, 1)))
    km: Floats = EARTH_RADIUS_KM * angle
    return km


def unit_vectors(latitude: ArrayLike, longitude: ArrayLike) -> tuple[Floats, ...]:
    """Return places in degrees as points on the unit sphere: x, y and z.

    Unlike degrees, these can be averaged across the date line.

    Examples
    --------
    >>> unit_vectors(90.0, 17.0)[2]  # the North Pole
    np.float64(1.0)
    """
    north, east = (
        np.radians(np.asarray(degrees, dtype=np.float64)) for degrees in (latitude, longitude)
    )
    return np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)
