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
    """Distance along the surface between places given in degrees, in km; NaN where one is NaN.

    The haversine formula, on a sphere: at most 0.6% off the ellipsoid's.

    Examples
    --------
    >>> great_circle_km(50.85, 4.35, 48.86, 2.35).round()  # Brussels to Paris
    np.float64(264.0)
    """
    first, second, east, to_east = (
        np.radians(np.asarray(each, dtype=np.float64))
        for each in (latitude, to_latitude, longitude, to_longitude)
    )
    half = (
        np.sin((second - first) / 2) ** 2
        + np.cos(first) * np.cos(second) * np.sin((to_east - east) / 2) ** 2
    )
    # Rounding may take the antipode a little beyond 1.
    km: NDArray[np.float64] = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(half, 1)))
    return km


def unit_vectors(latitude: ArrayLike, longitude: ArrayLike) -> tuple[NDArray[np.float64], ...]:
    """Places given in degrees as points on the unit sphere: x, y and z.

    Unlike degrees these have a mean, across the date line too.
    """
    north, east = (np.radians(np.asarray(each, dtype=np.float64)) for each in (latitude, longitude))
    return np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)
