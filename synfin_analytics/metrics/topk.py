"""Precision among the few that a team can review in a day: of transactions, and of cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_integer
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import format_date, format_decimal, format_percent
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result, draw

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from synfin_analytics._core.results import Display
    from synfin_analytics.metrics._score_counts import Floats, Integers

#: Days that a notebook shows at most.
_MAX_ROWS = 31
#: Entities of a day that are ranked at a time, until no place is left.
_RANKED_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class TopK(Result):
    """Precision at the ``k`` highest scores of each day.

    :meth:`Evaluation.precision_at_k` and :meth:`Evaluation.card_precision_at_k` return it.

    Attributes
    ----------
    metric
        ``"precision@k"`` or ``"card precision@k"``.
    k
        Number of transactions or cards that are reviewed in a day.
    daily
        What :meth:`to_frame` returns: one row for each day with ``day``, ``candidates``
        (transactions, or cards that are not blocked), ``compromised`` (candidates with fraud),
        ``hits`` (frauds or compromised cards among the first ``k``), ``precision`` = hits / k and
        ``max_achievable`` = min(compromised, k) / k.

    Examples
    --------
    >>> import pandas as pd
    >>> from synfin_analytics import evaluate
    >>> df = pd.DataFrame(
    ...     {
    ...         "timestamp": pd.to_datetime(["2026-03-01", "2026-03-01", "2026-03-02"], utc=True),
    ...         "is_fraud": [True, False, False],
    ...         "fraud_probability": [0.9, 0.4, 0.7],
    ...     }
    ... )
    >>> top = evaluate(df).precision_at_k(1)
    >>> top.value, top.max_achievable
    (0.5, 0.5)
    >>> top.to_frame()[["candidates", "hits", "precision"]].values.tolist()
    [[2.0, 1.0, 1.0], [1.0, 0.0, 0.0]]
    """

    metric: str
    k: int
    daily: pd.DataFrame

    @property
    def value(self) -> float:
        """Mean of the daily precision; NaN without a day."""
        return float(ratio(self.daily["precision"].sum(), len(self.daily)))

    @property
    def max_achievable(self) -> float:
        """Mean precision that a perfect ranking would have reached."""
        return float(ratio(self.daily["max_achievable"].sum(), len(self.daily)))

    def plot(self, ax: Axes | None = None, *, title: str | None = None) -> Display:
        """Draw this result; see :func:`synfin_analytics.plot_topk`.

        Examples
        --------
        >>> import pandas as pd
        >>> from synfin_analytics import evaluate
        >>> df = pd.DataFrame(
        ...     {
        ...         "fraud_probability": [0.9, 0.7, 0.2, 0.4],
        ...         "is_fraud": [True, True, False, False],
        ...         "timestamp": pd.to_datetime(["2026-03-01", "2026-03-02"] * 2),
        ...     }
        ... )
        >>> display = evaluate(df).precision_at_k(1).plot()
        >>> display.ax.get_title(loc="left")
        'Precision@1 by day'
        """
        return draw("plot_topk", self, ax, title=title)

    @property
    def _name(self) -> str:
        return self.metric.replace("@k", f"@{self.k}")

    def _table(self) -> pd.DataFrame:
        return self.daily.copy()

    def _record(self) -> Mapping[str, Any]:
        return {
            "metric": self.metric,
            "k": self.k,
            "value": self.value,
            "max_achievable": self.max_achievable,
            "daily": self.daily,
        }

    def __repr__(self) -> str:
        return (
            f"{self._name} = {format_decimal(self.value)} over {len(self.daily)} days (at most "
            f"{format_decimal(self.max_achievable)})"
        )

    def _repr_html_(self) -> str:
        caption = (
            f"{self._name}: mean {format_percent(self.value)}, at most "
            f"{format_percent(self.max_achievable)}"
        )
        if len(self.daily) > _MAX_ROWS:
            caption += f"; the first {_MAX_ROWS} of {len(self.daily):,} days"
        head = ("day", "candidates", "compromised", "hits", "precision", "max. achievable")
        rows = [
            (
                format_date(row["day"]),
                f"{row['candidates']:,}",
                f"{row['compromised']:,}",
                f"{row['hits']:g}",
                format_percent(row["precision"]),
                format_percent(row["max_achievable"]),
            )
            for row in self.daily.head(_MAX_ROWS).to_dict("records")
        ]
        return table_html(head, rows, caption=caption)


def check_k(k: int) -> int:
    """Return ``k`` as an int; raise an ArgumentError unless it is a whole number of at least 1."""
    return check_integer(k, "k", minimum=1)


def precision_at_k(
    day: NDArray[Any], score: Floats, transactions: Integers, frauds: Integers, k: int
) -> TopK:
    """Compute the precision of the ``k`` highest transactions of each day.

    Parameters
    ----------
    day, score
        One element for each score of a day.
    transactions, frauds
        Transactions with that score on that day, and frauds among them. If not all transactions of
        one score fit, the expected number of hits of a random choice among them is counted.
    k
        Transactions that are reviewed in a day.

    Examples
    --------
    >>> ones = np.ones(3, np.int64)
    >>> precision_at_k(np.array([1, 1, 2]), np.array([0.9, 0.4, 0.7]), ones, np.array([1, 0, 0]), 1)
    precision@1 = 0.500 over 2 days (at most 0.500)
    """
    k = check_k(k)
    days, day_index = np.unique(day, return_inverse=True)
    order = np.lexsort((-score, day_index))
    day_index, transactions, frauds = day_index[order], transactions[order], frauds[order]
    before = np.cumsum(transactions) - transactions
    first = np.searchsorted(day_index, np.arange(len(days)))
    before -= before[first][day_index] if len(days) else 0
    reviewed = np.clip(k - before, 0, transactions)

    def sum_by_day(values: Any) -> NDArray[Any]:
        return np.bincount(day_index, weights=values, minlength=len(days))

    hits = sum_by_day(reviewed * ratio(frauds, transactions))
    daily = _daily(days, sum_by_day(transactions), sum_by_day(frauds), hits, k)
    return TopK("precision@k", k, daily)


def card_precision_at_k(
    day: NDArray[Any], entity: NDArray[Any], score: Floats, fraud: NDArray[np.bool_], k: int
) -> TopK:
    """Compute the precision of the ``k`` cards with the highest scores of each day.

    A compromised card that was reviewed is blocked: it is not a candidate on later days (Le Borgne,
    Siblini, Lebichot and Bontempi, 2022). Among cards with the same score, the one with the lower
    number or name comes first.

    Parameters
    ----------
    day, entity
        One element for each card of a day.
    score
        The highest score of the card on that day.
    fraud
        Whether one of its transactions on that day was fraud.
    k
        Cards that are reviewed in a day.
    """
    k = check_k(k)
    return RankedEntities.from_arrays(day, entity, score, fraud).precision_at_k(k)


def _daily(
    days: NDArray[Any],
    candidates: NDArray[Any],
    compromised: NDArray[Any],
    hits: NDArray[Any],
    k: int,
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "day": days,
            "candidates": candidates.astype(np.int64),
            "compromised": compromised.astype(np.int64),
            "hits": hits.astype(np.float64),
            "precision": hits / k,
            "max_achievable": np.minimum(compromised, k) / k,
        }
    )


@dataclass(frozen=True, eq=False)
class RankedEntities:
    """Entities, such as cards, of each day, the highest score first.

    Attributes
    ----------
    days
        The days, in order.
    n_entities
        Number of distinct entities.
    ranks
        For each day, the entities in order of rank, and which of them are compromised.
    omitted
        For each day, how many entities are not among these. They rank below the last of them that
        has no fraud on any day, and have none either.
    """

    days: NDArray[Any]
    n_entities: int
    ranks: list[tuple[NDArray[np.intp], NDArray[np.bool_]]]
    omitted: Integers

    @classmethod
    def from_arrays(
        cls,
        day: NDArray[Any],
        entity: NDArray[Any],
        score: Floats,
        fraud: NDArray[np.bool_],
        *,
        names: NDArray[Any] | None = None,
        omitted: Integers | None = None,
    ) -> RankedEntities:
        """Rank them; those of one score by number or name.

        Parameters
        ----------
        day, entity, score, fraud
            As for :func:`card_precision_at_k`.
        names
            All entities in order, if some are on no day.
        omitted
            How many others each day has, by element.
        """
        days, day_index = np.unique(day, return_inverse=True)
        if names is None:
            names = np.unique(entity)
        code = np.searchsorted(names, entity)
        of_day = np.zeros(len(days), np.int64)
        if omitted is not None:
            of_day[day_index] = omitted
        order = np.lexsort((code, -score, day_index))
        code, fraud = code[order], fraud[order]
        starts = np.searchsorted(day_index[order], np.arange(len(days)))
        ranks = list(zip(np.split(code, starts[1:]), np.split(fraud, starts[1:]), strict=True))
        return cls(days, len(names), ranks[: len(days)], of_day)

    def precision_at_k(self, k: int) -> TopK:
        """Return the precision of the first ``k`` entities of each day."""
        hits, candidates, compromised = self.review(np.ones((self.n_entities, 1), np.int64), k)
        daily = _daily(self.days, candidates[:, 0], compromised[:, 0], hits[:, 0], k)
        return TopK("card precision@k", k, daily)

    def review(
        self, copies: Integers, k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Review ``k`` entities a day, and block the compromised ones among them.

        Parameters
        ----------
        copies
            How often each entity exists, by entity and resample (all 1 outside of a bootstrap).
        k
            Entities that are reviewed in a day.

        Returns
        -------
        tuple of numpy.ndarray
            Hits, candidates and compromised candidates, by day and resample.
        """
        remaining = copies.copy()
        hits, candidates, compromised = (
            np.zeros((len(self.days), copies.shape[1]), np.int64) for _ in range(3)
        )
        for index, (codes, fraud) in enumerate(self.ranks):
            present = remaining[codes]
            candidates[index] = present.sum(axis=0) + self.omitted[index]
            compromised[index] = present[fraud].sum(axis=0)
            hits[index], _ = _block(remaining, codes, fraud, k)
        return hits, candidates, compromised

    def count_hits(self, copies: Integers, k: int) -> tuple[NDArray[np.int64], bool]:
        """Return the hits alone of a review, by day and resample: few entities need be looked at.

        Parameters
        ----------
        copies, k
            As for :meth:`review`.

        Returns
        -------
        tuple
            The hits, and whether they are right: no place was left for omitted entities.
        """
        remaining, complete = copies.copy(), True
        hits = np.zeros((len(self.days), copies.shape[1]), np.int64)
        for index, (codes, fraud) in enumerate(self.ranks):
            hits[index], places = _block(remaining, codes, fraud, k)
            complete = complete and not (self.omitted[index] and places.any())
        return hits, complete


def _block(
    remaining: Integers, codes: NDArray[np.intp], fraud: NDArray[np.bool_], k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Review ``k`` entities of a day, and block the compromised ones.

    Parameters
    ----------
    remaining
        How often each entity exists, by entity and resample. Those that are blocked are removed.
    codes, fraud
        The entities of the day in order of rank, and which of them are compromised.

    Returns
    -------
    tuple of numpy.ndarray
        How many were blocked, and how many places are left.
    """
    hits = np.zeros(remaining.shape[1], np.int64)
    places = np.full(remaining.shape[1], k, np.int64)
    for start in range(0, len(codes), _RANKED_AT_ONCE):
        ranks = slice(start, start + _RANKED_AT_ONCE)
        present = remaining[codes[ranks]]
        reviewed = np.clip(places - (np.cumsum(present, axis=0) - present), 0, present)
        blocked = np.where(fraud[ranks, None], reviewed, 0)
        remaining[codes[ranks]] -= blocked
        hits += blocked.sum(axis=0)
        places -= reviewed.sum(axis=0)
        if not places.any():
            break
    return hits, places
