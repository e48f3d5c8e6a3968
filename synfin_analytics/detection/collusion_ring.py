"""Collusion ring: a few customers pay a few merchants about the same amount, again and again."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics.detection._bursts import microseconds
from synfin_analytics.detection.detector import Detector, grown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics.detection._context import Ledger


@dataclasses.dataclass(frozen=True)
class CollusionRing(Detector):
    """At least ``customers`` pay at least ``merchants`` in turn, amounts that are nearly the same.

    Looked at are payments of at least ``amount`` and ``times`` the mean of the customer's others,
    neither online nor at a cash machine, in spans of ``days`` and bands of amounts, from one to
    ``factor`` times it; both overlap by half. Everyone in a ring makes ``each`` or more of these
    payments, at two of its merchants or more, every merchant is paid by ``customers`` or more, and
    all of it is ``least`` payments. Of all pairs of a customer and a merchant at least the share
    ``pairs`` has paid: otherwise it is a popular shop.
    """

    name: ClassVar[str] = "collusion_ring"
    title: ClassVar[str] = "Collusion ring"
    about: ClassVar[str] = "merchants"

    amount: float = 100.0
    times: float = 3.0
    factor: float = 1.6
    days: dt.timedelta = dt.timedelta(days=40)
    customers: int = 3
    merchants: int = 2
    each: int = 3
    least: int = 10
    pairs: float = 0.5

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        cash = ledger.is_one_of("transaction_type", "withdrawal")
        large = ledger.amount >= np.fmax(self.amount, self.times * ledger.mean)
        looked = ledger.spent & ~ledger.online & ~cash & large
        days = microseconds(self.days)
        rows = pl.DataFrame(
            {
                "place": np.flatnonzero(looked),
                "customer": ledger.customer[looked],
                "merchant": ledger.merchant[looked],
                "span": 2 * ledger.at[looked] / days,
                "band": 2 * np.log(ledger.amount[looked]) / np.log(self.factor),
            }
        )
        rings = [ring for part in self._slots(rows) for ring in self._rings(part)]
        found: list[pl.DataFrame] = []
        taken: set[int] = set()
        for ring in sorted(rings, key=len, reverse=True):
            left = ring.filter(~pl.col("place").is_in(list(taken)))
            if len(left) >= self.least:
                taken |= set(left["place"])
                found.append(left.with_columns(episode=pl.lit(len(found), pl.Int64)))
        empty = rows.clear().drop("span", "band").with_columns(episode=pl.lit(0, pl.Int64))
        of = "episode"
        return pl.concat([empty, *found]).select(
            "place",
            of,
            pl.col("customer").n_unique().over(of).alias("members"),
            pl.col("merchant").n_unique().over(of).alias("shops"),
            strength=grown(
                pl.len().over(of) / pl.col("customer").n_unique().over(of), self.each, 3 * self.each
            ),
        )

    def _slots(self, rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Rows with their span and band, two of each, which overlap by half."""
        for earlier in (0, 1):
            for lower in (0, 1):
                yield rows.with_columns(
                    ((pl.col("span") + earlier) / 2).floor().cast(pl.Int64).alias("span"),
                    ((pl.col("band") + lower) / 2).floor().cast(pl.Int64).alias("band"),
                )

    def _rings(self, rows: pl.DataFrame) -> list[pl.DataFrame]:
        """Rings of each slot: leave out who cannot be in one, until nobody is left out."""
        customer, merchant = ("span", "band", "customer"), ("span", "band", "merchant")
        before = -1
        while len(rows) != before:
            before = len(rows)
            rows = rows.filter(
                (pl.len().over(customer) >= self.each)
                & (pl.col("merchant").n_unique().over(customer) >= 2)
            )
            rows = rows.filter(pl.col("customer").n_unique().over(merchant) >= self.customers)
        if not len(rows):
            return []
        left = rows.select(pl.struct(customer).rank("dense").cast(pl.Int64) - 1).to_series()
        right = rows.select(pl.struct(merchant).rank("dense").cast(pl.Int64) - 1).to_series()
        n = int(left.max()) + 1  # type: ignore[arg-type]
        size = n + int(right.max()) + 1  # type: ignore[arg-type]
        edges = coo_array((np.ones(len(rows)), (left, right + n)), shape=(size, size))
        group = connected_components(edges, directed=False)[1][left]
        rows = rows.with_columns(pl.Series("group", group))
        members, shops, pairs = (
            each.n_unique().over("group")
            for each in (pl.col("customer"), pl.col("merchant"), pl.struct("customer", "merchant"))
        )
        rows = rows.filter(
            (members >= self.customers)
            & (shops >= self.merchants)
            & (pl.len().over("group") >= self.least)
            & (pairs >= self.pairs * members * shops)
        )
        return [
            part.drop("group", "span", "band")
            for part in rows.partition_by("group", maintain_order=True)
        ]

    def words(self, figures: dict[str, Any]) -> str:
        """Tell an episode in a sentence."""
        mean = figures["amount"] / figures["payments"]
        return (
            f"{pluralize(figures['members'], 'customer')} paid "
            f"{pluralize(figures['shops'], 'merchant')} {pluralize(figures['payments'], 'time')}, "
            f"about {format_number(mean)} each time"
        )
