"""Distances on the globe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: Mean radius of the Earth in km (IUGG, R1).
EARTH_RADIUS_KM = 6371.0088


def great_circle_km(
    latitude: ArrayLike, longitude: ArrayLike, to_latitude: ArrayLike, to_longitude: ArrayLike
) -> NDArray[np.float64]:
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
    km: NDArray[np.float64] = EARTH_RADIUS_KM * angle
    return km


def unit_vectors(latitude: ArrayLike, longitude: ArrayLike) -> tuple[NDArray[np.float64], ...]:
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
