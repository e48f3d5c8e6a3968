"""Detectors of places: impossible travel, holidays."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl

from synfin_analytics._core.arithmetic import great_circle_km
from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics._core.grouped import DAY, HOUR, GroupedRolling, to_microseconds
from synfin_analytics.detection._context import PLACE_COLUMNS
from synfin_analytics.detection.detector import (
    NO_EPISODE,
    Detector,
    episode_rows,
    evidence_of,
    find_runs,
)

if TYPE_CHECKING:
    from synfin_analytics._core.types import Floats, Integers, Mask
    from synfin_analytics.detection._context import DetectionContext


@dataclasses.dataclass(frozen=True)
class ImpossibleTravel(Detector):
    """Two payments in person with one card, too far apart to travel in the time.

    They are at least ``min_km`` apart, which takes a speed of more than ``max_speed_kmh``. Where
    entry modes are known, one of the two is read from the magnetic stripe, which can be copied, and
    that one is made with the copy. Otherwise, it is the one at the place where the card was used
    less within ``usage_window``; if equal, the one farther from where the customer mostly pays.
    Payments within ``near_km`` and ``window`` before or after it belong to the episode.

    Parameters
    ----------
    max_speed_kmh
        Maximum speed at which a customer can travel, in km/h.
    min_km
        Minimum distance between the two payments, in km.
    usage_window
        Period in which the use of the card at both places is compared.
    near_km
        Maximum distance of other payments of the episode, in km.
    window
        Maximum time between these and the suspicious payment.

    Examples
    --------
    >>> ImpossibleTravel(max_speed_kmh=800.0).min_km
    200.0
    """

    name: ClassVar[str] = "impossible_travel"
    title: ClassVar[str] = "Impossible travel"
    required_columns: ClassVar[tuple[str, ...]] = PLACE_COLUMNS

    max_speed_kmh: float = 1000.0
    min_km: float = 200.0
    usage_window: dt.timedelta = dt.timedelta(days=3)
    near_km: float = 100.0
    window: dt.timedelta = dt.timedelta(hours=12)

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        latitude, longitude = (context.floats(axis) for axis in PLACE_COLUMNS)
        has_place = context.is_in_person & ~np.isnan(latitude) & ~np.isnan(longitude)
        rows = np.flatnonzero(has_place)
        rows = rows[np.argsort(context.card[rows], kind="stable")]
        # Pairs of successive payments.
        first, second = rows[:-1], rows[1:]
        km = great_circle_km(latitude[first], longitude[first], latitude[second], longitude[second])
        hours = (context.timestamp[second] - context.timestamp[first]) / HOUR
        same_card = context.card[first] == context.card[second]
        stays = same_card & (km <= self.near_km) & (hours <= self.window / dt.timedelta(hours=1))
        jumps = same_card & (km >= self.min_km) & (km > self.max_speed_kmh * hours)
        if "entry_mode" in context.available_columns:
            jumps &= context.is_copyable[first] | context.is_copyable[second]
        is_second = self._second_is_copy(context, rows, latitude, longitude)
        copies = (np.arange(len(first)) + is_second)[jumps]
        max_km, min_hours = np.zeros(len(rows)), np.full(len(rows), np.inf)
        np.maximum.at(max_km, copies, km[jumps])
        np.minimum.at(min_hours, copies, hours[jumps])
        stay = np.cumsum(np.append(True, ~stays))[: len(rows)]
        is_marked = np.isin(stay, stay[copies])
        order = np.argsort(rows, kind="stable")
        episodes = np.full(len(context), NO_EPISODE)
        episodes[rows[order]] = find_runs(
            context.card[rows[order]], context.timestamp[rows[order]], is_marked[order], self.window
        )
        figures = np.zeros((2, len(context)))
        figures[:, rows] = max_km, min_hours
        speed = pl.col("km") / pl.max_horizontal("hours", 0.05)
        return (
            episode_rows(episodes, km=figures[0], hours=figures[1])
            .with_columns(
                pl.col("km").max().over("episode").round(),
                pl.col("hours").min().over("episode").round(2),
            )
            .with_columns(evidence=evidence_of(speed, self.max_speed_kmh, 3 * self.max_speed_kmh))
        )

    def _second_is_copy(
        self, context: DetectionContext, rows: Integers, latitude: Floats, longitude: Floats
    ) -> Mask:
        """Whether the second of each pair is the copy's, by the first criterion that differs."""
        first, second = rows[:-1], rows[1:]
        usage = self._count_nearby(context, rows, latitude, longitude)
        distance = np.nan_to_num(context.distance_from_home)
        criteria = (
            (context.is_copyable[second], context.is_copyable[first]),
            (-usage[second], -usage[first]),
            (distance[second], distance[first]),
        )
        return np.select(
            [of_second != of_first for of_second, of_first in criteria],
            [of_second > of_first for of_second, of_first in criteria],
            default=True,
        )

    def _count_nearby(
        self, context: DetectionContext, rows: Integers, latitude: Floats, longitude: Floats
    ) -> Integers:
        """Count payments in person with the card within about 100 km, shortly before or after."""
        grid = np.stack([context.card[rows], np.rint(latitude[rows]), np.rint(longitude[rows])])
        place = np.unique(grid.astype(np.int64), axis=1, return_inverse=True)[1].ravel()
        counts = np.zeros(len(context), np.int64)
        for times in (context.timestamp[rows], -context.timestamp[rows]):
            counts[rows] += GroupedRolling(place, times).window(self.usage_window).count()
        return counts

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return (
            f"A card was used {format_number(figures['km'])} km away from where it was used "
            f"{format_number(60 * figures['hours'])} minutes before or after"
        )


@dataclasses.dataclass(frozen=True)
class HolidayTravel(Detector):
    """Payments in person far from home for a day or more.

    At least ``min_count`` payments with one card, each at least ``min_km`` from home and at most
    ``max_gap`` after the one before, with none near home between them; from the first to the last
    there are at least ``min_duration``.

    Parameters
    ----------
    min_km
        Minimum distance from home, in km.
    min_count
        Minimum number of payments.
    max_gap
        Maximum time between two of them.
    min_duration
        Minimum time from the first to the last.

    Examples
    --------
    >>> HolidayTravel(min_km=500.0).max_gap
    datetime.timedelta(days=5)
    """

    name: ClassVar[str] = "holiday_travel"
    title: ClassVar[str] = "Holiday travel"
    required_columns: ClassVar[tuple[str, ...]] = PLACE_COLUMNS

    min_km: float = 200.0
    min_count: int = 2
    max_gap: dt.timedelta = dt.timedelta(days=5)
    min_duration: dt.timedelta = dt.timedelta(days=1)

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        km = context.distance_from_home
        rows = np.flatnonzero(context.is_in_person & ~np.isnan(km))
        is_away = km[rows] >= self.min_km
        # A stay ends with the first payment near home: its number is the same all through it.
        order = np.argsort(context.card[rows], kind="stable")
        stay = np.empty(len(rows), np.int64)
        stay[order] = np.cumsum(~is_away[order])
        key = np.full(len(context), NO_EPISODE)
        key[rows] = stay * (context.card.max(initial=0) + 1) + context.card[rows]
        mask = np.zeros(len(context), np.bool_)
        mask[rows] = is_away
        episodes = find_runs(key, context.timestamp, mask, self.max_gap)
        count = pl.len().over("episode")
        duration = (pl.col("timestamp").max() - pl.col("timestamp").min()).over("episode")
        min_duration = pl.lit(to_microseconds(self.min_duration))
        return (
            episode_rows(episodes, timestamp=context.timestamp, km=km)
            .with_columns(
                (duration / DAY).round(1).alias("days"), pl.col("km").max().over("episode").round()
            )
            .filter((count >= self.min_count) & (duration >= min_duration))
            .with_columns(
                evidence=pl.mean_horizontal(
                    evidence_of(count, self.min_count, 4 * self.min_count),
                    evidence_of(pl.col("days"), 1, 4),
                )
            )
            .drop("timestamp")
        )

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return (
            f"{pluralize(figures['payments'], 'payment')} in person within "
            f"{format_number(figures['days'], 1)} days, up to {format_number(figures['km'])} km "
            "from home"
        )
