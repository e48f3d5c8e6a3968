"""Detectors of fraud at merchants: compromised terminals, collusion rings, refund abuse."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import poisson

from synfin_analytics._core.formatting import format_number, pluralize
from synfin_analytics._core.grouped import Amounts, GroupedRolling, to_microseconds
from synfin_analytics.detection.detector import (
    NO_EPISODE,
    NO_ROW,
    CrossCustomerDetector,
    Detector,
    episode_rows,
    evidence_of,
    evidence_of_count,
    find_bursts,
    make_candidates,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synfin_analytics._core.types import Floats, Integers
    from synfin_analytics.detection._context import DetectionContext


#: Terminals with more misused cards than chance explains: the row of the last visit in the window,
#: the rows of misused payments with cards that were there, and the number of these cards: as it is,
#: and as it would be by chance.
_TERMINAL_SCHEMA: dict[str, Any] = {
    "visit": pl.Int64,
    "row": pl.List(pl.Int64),
    "cards": pl.Int64,
    "expected_cards": pl.Float64,
}
#: A slot is a span of time and a band of amounts.
_CUSTOMER_IN_SLOT, _MERCHANT_IN_SLOT = ("span", "band", "customer"), ("span", "band", "merchant")


@dataclasses.dataclass(frozen=True)
class CompromisedMerchant(CrossCustomerDetector):
    """Cards that paid at one terminal are misused soon after, far more than elsewhere.

    A misuse is a payment that is not made the customer's usual way (an unfamiliar device, the
    magnetic stripe, a number typed in), at the terminal itself or elsewhere, within
    ``misuse_window`` after the card was at the terminal in person. A terminal is suspicious if at
    least ``min_cards`` of the cards of the last ``window`` are misused, and if so many would occur
    by chance (at the rate of all terminals, Poisson) with a probability of at most ``max_p_value``.
    Each misuse counts against the terminal with the strongest evidence only: the common point of
    purchase.

    Parameters
    ----------
    misuse_window
        Maximum time from the payment at the terminal to the misuse.
    window
        Period in which the terminal copies cards.
    min_cards
        Minimum number of misused cards.
    max_p_value
        Maximum probability of so many misused cards by chance.

    Examples
    --------
    >>> CompromisedMerchant(min_cards=8).max_p_value
    0.0001
    """

    name: ClassVar[str] = "compromised_merchant"
    title: ClassVar[str] = "Compromised merchant"
    subject_type: ClassVar[str] = "merchants"
    required_columns: ClassVar[tuple[str, ...]] = ("entry_mode",)
    later_columns: ClassVar[tuple[str, ...]] = ("card_id", "terminal_id")
    has_totals: ClassVar[bool] = True

    misuse_window: dt.timedelta = dt.timedelta(days=4)
    window: dt.timedelta = dt.timedelta(days=14)
    min_cards: int = 5
    max_p_value: float = 1e-4

    def select(self, context: DetectionContext) -> pl.DataFrame:
        """Select visits, each once for every misuse of the card that follows, or for none."""
        is_misuse = context.is_unfamiliar & ~context.is_credit
        visits = np.flatnonzero(context.is_in_person & ~is_misuse)
        visit, misuse = self._pair_visits_with_misuse(context, visits, np.flatnonzero(is_misuse))
        is_followed = np.zeros(len(context), np.bool_)
        is_followed[visit] = True
        others = visits[~is_followed[visits]]
        return make_candidates(
            np.append(visit, others), np.append(misuse, np.full(len(others), NO_ROW))
        )

    def count(self, candidates: pl.DataFrame) -> dict[str, int]:
        """Count visits, and those that are followed by a misuse."""
        followed = candidates.filter(pl.col("other") != NO_ROW)
        return {"visits": candidates["row"].n_unique(), "followed": followed["row"].n_unique()}

    def reduce(
        self, context: DetectionContext, candidates: pl.DataFrame, totals: dict[str, int]
    ) -> pl.DataFrame:
        """Reduce them to suspicious visits, and to those at the same terminals before a misuse."""
        visit, misuse = candidates["row"].to_numpy(), candidates["other"].to_numpy()
        is_followed = np.zeros(len(context), np.bool_)
        is_followed[visit[misuse != NO_ROW]] = True
        visits = np.unique(visit)
        window = GroupedRolling(context.terminal[visits], context.timestamp[visits]).window(
            self.window
        )
        n_cards = window.n_unique(np.where(is_followed, context.card, NO_EPISODE)[visits])
        is_enough = n_cards >= self.min_cards
        visits, n_cards, n_visits = visits[is_enough], n_cards[is_enough], window.count()[is_enough]
        expected = totals["followed"] / max(totals["visits"], 1) * n_visits
        figures = np.full((2, len(context)), np.nan)
        figures[:, visits] = poisson.sf(n_cards - 1, expected), expected
        is_suspicious = figures[0] <= self.max_p_value
        terminals = np.unique(context.terminal[is_suspicious])
        is_there = np.isin(context.terminal[visit], terminals)
        is_needed = is_there & ((misuse != NO_ROW) | is_suspicious[visit])
        figures[:, ~is_suspicious] = np.nan
        return candidates.with_columns(
            p_value=figures[0][visit], expected_cards=figures[1][visit]
        ).filter(is_needed)

    def combine(self, context: DetectionContext, candidates: pl.DataFrame) -> pl.DataFrame:
        """Assign each misuse to one terminal."""
        # From the strongest evidence on: a misuse that one terminal explains is no evidence
        # against others.
        suspicious = (
            candidates.filter(pl.col("p_value").is_not_nan()).unique("row").sort("p_value", "row")
        )
        pairs = candidates.filter(pl.col("other") != NO_ROW)
        terminals = self._assign_misuse(
            context,
            pairs["row"].to_numpy(),
            pairs["other"].to_numpy(),
            suspicious["row"].to_numpy(),
            suspicious["expected_cards"].to_numpy(),
        )
        return self._to_rows(context, pl.DataFrame(list(terminals), _TERMINAL_SCHEMA, orient="row"))

    def _pair_visits_with_misuse(
        self, context: DetectionContext, visits: Integers, misused: Integers
    ) -> tuple[Integers, Integers]:
        """Pair each misuse with every visit of the card within ``misuse_window`` before it."""
        order = visits[np.argsort(context.card[visits], kind="stable")]
        # Row numbers stand in for timestamps, which multiplied by cards would overflow.
        size = len(context)
        oldest_time = context.timestamp[misused] - to_microseconds(self.misuse_window)
        oldest_row = np.searchsorted(context.timestamp, oldest_time)
        by_card_and_row = context.card[order] * size + order
        start = np.searchsorted(by_card_and_row, context.card[misused] * size + oldest_row)
        end = np.searchsorted(by_card_and_row, context.card[misused] * size + misused)
        lengths = end - start
        offset = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return order[np.repeat(start, lengths) + offset], np.repeat(misused, lengths)

    def _assign_misuse(
        self,
        context: DetectionContext,
        visit: Integers,
        misuse: Integers,
        last_visits: Integers,
        expected: Floats,
    ) -> Iterator[tuple[int, list[int], int, float]]:
        """Yield terminals from the strongest evidence on, each with the misuse not yet assigned."""
        window = to_microseconds(self.window)
        is_free = np.ones(len(context), np.bool_)
        by_terminal = np.argsort(context.terminal[visit], kind="stable")
        sorted_terminals = context.terminal[visit][by_terminal]
        for last, expected_cards in zip(last_visits.tolist(), expected.tolist(), strict=True):
            terminal, last_time = context.terminal[last], context.timestamp[last]
            start, end = np.searchsorted(sorted_terminals, (terminal, terminal + 1))
            pairs = by_terminal[start:end]
            times = context.timestamp[visit[pairs]]
            in_window = (times <= last_time) & (times > last_time - window)
            rows = np.unique(misuse[pairs[in_window & is_free[misuse[pairs]]]])
            n_cards = len(np.unique(context.card[rows]))
            if (
                n_cards >= self.min_cards
                and poisson.sf(n_cards - 1, expected_cards) <= self.max_p_value
            ):
                is_free[rows] = False
                yield last, rows.tolist(), n_cards, round(expected_cards, 2)

    def _to_rows(self, context: DetectionContext, terminals: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of all terminals, with their figures."""
        parties = context.frame[terminals["visit"]].select(
            pl.col("merchant_id").alias("subject"), pl.col("terminal_id").alias("terminal")
        )
        episode = pl.int_range(pl.len()).alias("episode")
        episodes = pl.concat([terminals.with_columns(episode), parties], how="horizontal")
        excess = pl.col("cards") / pl.col("expected_cards").clip(0.1)
        return episodes.explode("row").select(
            *("row", "episode", "subject", "terminal", "cards", "expected_cards"),
            evidence=evidence_of(excess, 2, 20),
        )

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return (
            f"{pluralize(figures['cards'], 'card')} that paid at one terminal were misused soon "
            f"after; {format_number(figures['expected_cards'], 1)} expected by chance"
        )


@dataclasses.dataclass(frozen=True)
class CollusionRing(CrossCustomerDetector):
    """The same few customers pay the same few merchants similar large amounts repeatedly.

    Candidates are payments of at least ``min_amount`` and ``amount_ratio`` times the mean of the
    customer's others, neither online nor at a cash machine. They are grouped by overlapping time
    spans of length ``window`` and overlapping bands of amounts, whose upper end is
    ``amount_spread`` times the lower. In a ring, at least ``min_customers`` customers pay at least
    ``min_merchants`` merchants in at least ``min_count`` payments; each customer makes at least
    ``min_count_per_customer`` of them, at two or more of the merchants, and each merchant is paid
    by at least ``min_customers`` customers. At least the share ``min_density`` of all pairs of a
    customer and a merchant has a payment; otherwise it is a popular shop.

    Parameters
    ----------
    min_amount
        Minimum amount of a payment.
    amount_ratio
        The same as a multiple of the mean of the customer's other payments.
    amount_spread
        Maximum ratio of two amounts of a ring.
    window
        Length of the time spans.
    min_customers, min_merchants
        Minimum number of members of each kind.
    min_count_per_customer, min_count
        Minimum number of payments of a customer, and of the ring.
    min_density
        Minimum share of the pairs of a customer and a merchant with a payment.

    Examples
    --------
    >>> CollusionRing(min_customers=4).min_density
    0.5
    """

    name: ClassVar[str] = "collusion_ring"
    title: ClassVar[str] = "Collusion ring"
    subject_type: ClassVar[str] = "merchants"

    min_amount: float = 100.0
    amount_ratio: float = 3.0
    amount_spread: float = 1.6
    window: dt.timedelta = dt.timedelta(days=40)
    min_customers: int = 3
    min_merchants: int = 2
    min_count_per_customer: int = 3
    min_count: int = 10
    min_density: float = 0.5

    def select(self, context: DetectionContext) -> pl.DataFrame:
        """Select the candidates of customers who have enough of them in one slot."""
        is_cash = context.is_in("transaction_type", "withdrawal")
        is_large = context.amount >= np.fmax(
            self.min_amount, self.amount_ratio * context.usual_amount
        )
        rows = np.flatnonzero(context.is_spent & ~context.is_online & ~is_cash & is_large)
        return self._filter_by_slot(context, rows, self._pays_enough())

    def reduce(
        self,
        context: DetectionContext,
        candidates: pl.DataFrame,
        totals: dict[str, int],  # noqa: ARG002 - a ring is suspicious whatever others do
    ) -> pl.DataFrame:
        """Reduce them to merchants with enough customers in one slot."""
        return self._filter_by_slot(context, candidates["row"].to_numpy(), self._is_shared())

    def _filter_by_slot(
        self, context: DetectionContext, rows: Integers, condition: pl.Expr
    ) -> pl.DataFrame:
        """Filter rows by a condition that must be met in at least one slot."""
        slots = self._slots(self._payments(context, rows))
        kept = pl.concat([rows_of_slots.filter(condition)["row"] for rows_of_slots in slots])
        return make_candidates(kept.unique().sort().to_numpy())

    def _payments(self, context: DetectionContext, rows: Integers) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "row": rows,
                "customer": context.customer[rows],
                "merchant": context.merchant[rows],
                "span": 2 * context.timestamp[rows] / to_microseconds(self.window),
                "band": 2 * np.log(context.amount[rows]) / np.log(self.amount_spread),
            }
        )

    def _pays_enough(self) -> pl.Expr:
        """Whether the customer of a row may be in a ring of its slot."""
        is_frequent = pl.len().over(_CUSTOMER_IN_SLOT) >= self.min_count_per_customer
        return is_frequent & (pl.col("merchant").n_unique().over(_CUSTOMER_IN_SLOT) >= 2)

    def _is_shared(self) -> pl.Expr:
        """Whether the merchant of a row may be in a ring of its slot."""
        return pl.col("customer").n_unique().over(_MERCHANT_IN_SLOT) >= self.min_customers

    def combine(self, context: DetectionContext, candidates: pl.DataFrame) -> pl.DataFrame:
        """Connect customers and merchants to rings."""
        payments = self._payments(context, candidates["row"].sort().to_numpy())
        rings = [ring for slots in self._slots(payments) for ring in self._rings(slots)]
        episodes: list[pl.DataFrame] = []
        used_rows: set[int] = set()
        for ring in sorted(rings, key=len, reverse=True):
            remaining = ring.filter(~pl.col("row").is_in(list(used_rows)))
            if len(remaining) >= self.min_count:
                used_rows |= set(remaining["row"])
                number = pl.lit(len(episodes), pl.Int64)
                episodes.append(remaining.with_columns(episode=number))
        empty = payments.clear().drop("span", "band").with_columns(episode=pl.lit(0, pl.Int64))
        n_customers = pl.col("customer").n_unique().over("episode")
        count_per_customer = pl.len().over("episode") / n_customers
        return pl.concat([empty, *episodes]).select(
            "row",
            "episode",
            n_customers.alias("n_customers"),
            pl.col("merchant").n_unique().over("episode").alias("n_merchants"),
            evidence=evidence_of(
                count_per_customer, self.min_count_per_customer, 3 * self.min_count_per_customer
            ),
        )

    def _slots(self, payments: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Yield the rows with integer spans and bands, four times, each shifted by half."""
        for span_shift in (0, 1):
            for band_shift in (0, 1):
                yield payments.with_columns(
                    ((pl.col("span") + span_shift) / 2).floor().cast(pl.Int64).alias("span"),
                    ((pl.col("band") + band_shift) / 2).floor().cast(pl.Int64).alias("band"),
                )

    def _rings(self, rows: pl.DataFrame) -> list[pl.DataFrame]:
        """Return the rings of each slot: prune whoever cannot be in one, then connect the rest."""
        size = -1
        while len(rows) != size:
            size = len(rows)
            rows = rows.filter(self._pays_enough()).filter(self._is_shared())
        if not len(rows):
            return []
        customers = rows.select(
            pl.struct(_CUSTOMER_IN_SLOT).rank("dense").cast(pl.Int64) - 1
        ).to_series()
        merchants = rows.select(
            pl.struct(_MERCHANT_IN_SLOT).rank("dense").cast(pl.Int64) - 1
        ).to_series()
        n_customer_nodes = int(customers.max()) + 1  # type: ignore[arg-type]
        n_nodes = n_customer_nodes + int(merchants.max()) + 1  # type: ignore[arg-type]
        edges = coo_array(
            (np.ones(len(rows)), (customers, merchants + n_customer_nodes)),
            shape=(n_nodes, n_nodes),
        )
        group = connected_components(edges, directed=False)[1][customers]
        rows = rows.with_columns(pl.Series("group", group))
        n_customers, n_merchants, n_pairs = (
            column.n_unique().over("group")
            for column in (
                pl.col("customer"),
                pl.col("merchant"),
                pl.struct("customer", "merchant"),
            )
        )
        rows = rows.filter(
            (n_customers >= self.min_customers)
            & (n_merchants >= self.min_merchants)
            & (pl.len().over("group") >= self.min_count)
            & (n_pairs >= self.min_density * n_customers * n_merchants)
        )
        return [
            ring.drop("group", "span", "band")
            for ring in rows.partition_by("group", maintain_order=True)
        ]

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        mean = figures["amount"] / figures["payments"]
        return (
            f"{pluralize(figures['n_customers'], 'customer')} paid "
            f"{pluralize(figures['n_merchants'], 'merchant')} "
            f"{pluralize(figures['payments'], 'time')}, about {format_number(mean)} each time"
        )


@dataclasses.dataclass(frozen=True)
class RefundAbuse(Detector):
    """Several refunds of a merchant to a customer who had not paid as much there.

    At least ``min_count`` refunds within ``window``. A refund counts if it and the earlier refunds
    of the merchant to that customer exceed all that the customer had paid there.

    Parameters
    ----------
    min_count
        Minimum number of refunds.
    window
        Maximum time from the first to the last.

    Examples
    --------
    >>> RefundAbuse(min_count=5).window
    datetime.timedelta(days=30)
    """

    name: ClassVar[str] = "refund_abuse"
    title: ClassVar[str] = "Refund abuse"
    required_columns: ClassVar[tuple[str, ...]] = ("transaction_type",)
    # Payments of a customer to a merchant are among those of the customer.
    keys: ClassVar[tuple[str, ...]] = ("customer_id",)

    min_count: int = 3
    window: dt.timedelta = dt.timedelta(days=30)

    def find(self, context: DetectionContext) -> pl.DataFrame:
        """Find the pattern; see :meth:`Detector.find`."""
        pair = context.customer * (context.merchant.max(initial=0) + 1) + context.merchant
        amounts = Amounts.from_floats(context.amount)
        is_refund = context.is_in("transaction_type", "refund")
        so_far = GroupedRolling(pair, context.timestamp).window()
        spent = so_far.sum(np.where(context.is_spent, amounts.units, 0))
        refunded = so_far.sum(np.where(is_refund, amounts.units, 0))
        episodes = find_bursts(
            pair, context.timestamp, is_refund & (refunded > spent), self.window, self.min_count
        )
        rows = episode_rows(episodes, refunded=context.amount, spent=amounts.to_money(spent))
        return rows.with_columns(
            pl.col("refunded").sum().over("episode").round(2),
            pl.col("spent").max().over("episode").round(2),
        ).with_columns(
            evidence=pl.mean_horizontal(
                evidence_of_count(self.min_count),
                evidence_of(-pl.col("spent") / pl.col("refunded"), -1, 0),
            )
        )

    def describe(self, figures: dict[str, Any]) -> str:
        """Describe an episode in one sentence."""
        return (
            f"{pluralize(figures['payments'], 'refund')} from a merchant where the customer had "
            f"spent {format_number(figures['spent'], 2)}"
        )
