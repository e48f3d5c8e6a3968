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
    """The same few customers pay the same few merchants similar large amounts repeatedly.

    Candidates are payments of at least ``min_amount`` and ``amount_ratio`` times the mean of the
    customer's others, neither online nor at a cash machine. They are grouped by overlapping time
    spans of length ``window`` and overlapping bands of amounts, whose upper end is
    ``amount_spread`` times the lower. In a ring, at least ``min_customers`` customers pay at least
    ``min_merchants`` merchants in at least ``min_count`` payments; each customer makes at least
    ``min_count_per_customer`` of them, at two or more of the merchants, and each merchant is paid
    by at least ``min_customers`` customers. At least the share ``min_density`` of all pairs of a
    customer and a merchant has a payment; otherwise it is a popular shop.
    """

    name: ClassVar[str] = "collusion_ring"
    title: ClassVar[str] = "Collusion ring"
    about: ClassVar[str] = "merchants"

    min_amount: float = 100.0
    amount_ratio: float = 3.0
    amount_spread: float = 1.6
    window: dt.timedelta = dt.timedelta(days=40)
    min_customers: int = 3
    min_merchants: int = 2
    min_count_per_customer: int = 3
    min_count: int = 10
    min_density: float = 0.5

    def find(self, ledger: Ledger) -> pl.DataFrame:
        """Find it; see :meth:`Detector.find`."""
        cash = ledger.is_one_of("transaction_type", "withdrawal")
        large = ledger.amount >= np.fmax(self.min_amount, self.amount_ratio * ledger.mean)
        looked = ledger.spent & ~ledger.online & ~cash & large
        days = microseconds(self.window)
        rows = pl.DataFrame(
            {
                "place": np.flatnonzero(looked),
                "customer": ledger.customer[looked],
                "merchant": ledger.merchant[looked],
                "span": 2 * ledger.at[looked] / days,
                "band": 2 * np.log(ledger.amount[looked]) / np.log(self.amount_spread),
            }
        )
        rings = [ring for part in self._slots(rows) for ring in self._rings(part)]
        found: list[pl.DataFrame] = []
        taken: set[int] = set()
        for ring in sorted(rings, key=len, reverse=True):
            left = ring.filter(~pl.col("place").is_in(list(taken)))
            if len(left) >= self.min_count:
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
                pl.len().over(of) / pl.col("customer").n_unique().over(of),
                self.min_count_per_customer,
                3 * self.min_count_per_customer,
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
                (pl.len().over(customer) >= self.min_count_per_customer)
                & (pl.col("merchant").n_unique().over(customer) >= 2)
            )
            rows = rows.filter(pl.col("customer").n_unique().over(merchant) >= self.min_customers)
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
            (members >= self.min_customers)
            & (shops >= self.min_merchants)
            & (pl.len().over("group") >= self.min_count)
            & (pairs >= self.min_density * members * shops)
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
