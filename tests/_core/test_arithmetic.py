"""Distances on a sphere, compared with known values."""

from __future__ import annotations

import numpy as np
import pytest

from synfin_analytics._core.arithmetic import great_circle_km


@pytest.mark.parametrize(
    ("begin", "end", "km"),
    [
        ((0, 0), (0, 0), 0),
        ((0, 0), (0, 180), np.pi * 6371.0088),
        ((90, 17), (-90, 30), np.pi * 6371.0088),
        ((0, 179.5), (0, -179.5), np.pi / 180 * 6371.0088),
        ((50.8503, 4.3517), (48.8566, 2.3522), 263.98),
        ((np.nan, 0), (0, 0), np.nan),
    ],
)
def test_distances_are_those_on_a_sphere(begin, end, km):
    np.testing.assert_allclose(great_circle_km(*begin, *end), km, rtol=1e-4)
