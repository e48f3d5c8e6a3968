"""Gains and lift: how much of the fraud is among the highest scores, by band of the score."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import check_integer, format_value
from synfin_analytics._core.arithmetic import ratio
from synfin_analytics._core.formatting import (
    format_confidence_level,
    format_decimal,
    format_number,
    format_percent,
    format_percent_interval,
    pluralize,
)
from synfin_analytics._core.html import table_html
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from synfin_analytics.metrics._score_counts import Floats
    from synfin_analytics.metrics.curve import Curve
    from synfin_analytics.metrics.proportions import IntervalMethod


@dataclass(frozen=True, eq=False, repr=False)
class GainsTable(Result):
    """Frauds by band of the score, the highest scores first.

    :meth:`Evaluation.gains_table` returns it.

    Attributes
    ----------
    n, n_frauds
        Labelled transactions, and frauds among them.
    confidence_level
        Confidence of the intervals.
    bands
        What :meth:`to_frame` returns, one row for each band: ``band`` (1 has the highest scores);
        ``score_from`` and ``score_to``; ``transactions`` and ``frauds``; ``amount``,
        ``fraud_amount`` and ``cumulative_fraud_amount_share`` if amounts are known;
        ``cumulative_share``, the share of all transactions in this band and those above;
        ``fraud_rate`` with its interval, ``fraud_rate_low`` to ``fraud_rate_high``; ``lift`` =
        fraud rate / fraud rate of all transactions; ``cumulative_fraud_share``, the share of all
        frauds in this band and those above (the gain); ``cumulative_lift``; and ``ks``, the share
        of frauds minus the share of genuine transactions down to here.
    size
        The number of transactions and frauds, in words.

    Examples
    --------
    >>> from synfin_analytics import evaluate
    >>> gains = evaluate([1, 0, 1, 0], [0.9, 0.8, 0.3, 0.1]).gains_table(bands=2)
    >>> gains
    GainsTable(2 bands, 4 transactions, 2 frauds; the first band has 50.0% of the frauds, lift \
1.000)
    >>> gains.to_frame()[["band", "score_from", "frauds", "cumulative_fraud_share"]].values.tolist()
    [[1.0, 0.8, 1.0, 0.5], [2.0, 0.1, 1.0, 1.0]]
    """

    n: int
    n_frauds: int
    confidence_level: float
    bands: pd.DataFrame
    size: str

    def _table(self) -> pd.DataFrame:
        return self.bands.copy()

    def _record(self) -> Mapping[str, Any]:
        return {
            "n": self.n,
            "n_frauds": self.n_frauds,
            "confidence_level": self.confidence_level,
            "bands": self.bands,
        }

    def __repr__(self) -> str:
        size = f"{pluralize(len(self.bands), 'band')}, {self.size}"
        first = ""
        if len(self.bands):
            gain, lift = (self.bands[name].iloc[0] for name in ("cumulative_fraud_share", "lift"))
            first = (
                f"; the first band has {format_percent(gain)} of the frauds, lift "
                f"{format_decimal(lift)}"
            )
        return f"GainsTable({size}{first})"

    def _repr_html_(self) -> str:
        head = (
            "band", "score", "transactions", "frauds", "fraud rate",
            f"{format_confidence_level(self.confidence_level)} interval", "lift",
            "cumulative frauds", "cumulative lift", "KS",
        )  # fmt: skip
        valued = "amount" in self.bands
        rows = []
        for row in self.bands.to_dict("records"):
            cells = (
                str(row["band"]),
                f"{row['score_from']:.4g} to {row['score_to']:.4g}",
                format_number(row["transactions"]),
                format_number(row["frauds"]),
                format_percent(row["fraud_rate"]),
                format_percent_interval(row["fraud_rate_low"], row["fraud_rate_high"]),
                format_decimal(row["lift"]),
                format_percent(row["cumulative_fraud_share"]),
                format_decimal(row["cumulative_lift"]),
                format_decimal(row["ks"]),
            )
            value = (format_percent(row["cumulative_fraud_amount_share"]),) if valued else ()
            rows.append((*cells, *value))
        return table_html(
            (*head, "cumulative fraud value") if valued else head,
            rows,
            caption=f"Gains, {self.size}",
        )


def gains_table(
    curve: Curve,
    bands: int | Sequence[float] = 10,
    *,
    interval_method: IntervalMethod = "wilson",
    confidence_level: float = 0.95,
) -> GainsTable:
    """Compute gains and lift by band of the score; see :meth:`Evaluation.gains_table`."""
    counts = curve.counts
    if isinstance(bands, Sequence | np.ndarray):
        edges = _check_edges(bands)[::-1]
        score_from, score_to = np.array([*edges, 0.0]), np.array([1.0, *edges])
        ends = np.array([curve.count_scores(edge) for edge in score_from])
    else:
        ends = _equal_bands(curve, check_integer(bands, "bands", minimum=1))
        score_from, score_to = counts.score[ends - 1], counts.score[np.append(0, ends)[:-1]]

    def sum_by_band(values: NDArray[Any]) -> NDArray[Any]:
        return np.diff(np.append(0, np.cumsum(values))[ends], prepend=0)

    transactions, frauds = sum_by_band(counts.transactions), sum_by_band(counts.frauds)
    low, high = curve.fraud_rate_interval(frauds, transactions, interval_method, confidence_level)
    rate, gain, share = ratio(frauds, transactions), _running(frauds), _running(transactions)
    columns = {
        "band": np.arange(1, len(ends) + 1),
        "score_from": score_from,
        "score_to": score_to,
        "transactions": transactions,
        "frauds": frauds,
    }
    if counts.amount is not None and counts.fraud_amount is not None:
        columns["amount"] = sum_by_band(counts.amount)
        columns["fraud_amount"] = sum_by_band(counts.fraud_amount)
        columns["cumulative_fraud_amount_share"] = _running(columns["fraud_amount"])
    columns |= {
        "cumulative_share": share,
        "fraud_rate": rate,
        "fraud_rate_low": low,
        "fraud_rate_high": high,
        "lift": ratio(rate, ratio(curve.n_frauds, curve.n)),
        "cumulative_fraud_share": gain,
        "cumulative_lift": ratio(gain, share),
        "ks": gain - _running(transactions - frauds),
    }
    return GainsTable(curve.n, curve.n_frauds, confidence_level, pd.DataFrame(columns), counts.size)


def _equal_bands(curve: Curve, bands: int) -> NDArray[np.intp]:
    """Return how many distinct scores are in each band and those above it.

    A band ends with the score at which its share of the transactions is reached.
    """
    if not curve.n:
        return np.empty(0, np.intp)
    shares = np.arange(1, bands + 1) * curve.n
    return np.unique(np.searchsorted(curve.alerts * bands, shares, side="left") + 1)


def _check_edges(edges: Any) -> list[float]:
    try:
        numbers = [math.nan if isinstance(edge, str | bool) else float(edge) for edge in edges]
    except (TypeError, ValueError):
        numbers = [math.nan]
    rising = all(low < high for low, high in itertools.pairwise(numbers))
    if not numbers or not rising or not all(0 < edge <= 1 for edge in numbers):
        raise ArgumentError(
            "`bands` must be a number of bands, or the scores between them, greater than 0, up to "
            f"1 and rising, such as [0.1, 0.5]; got {format_value(edges)}."
        )
    return numbers


def _running(values: NDArray[Any]) -> Floats:
    """Return the share of all in each band and those above it."""
    return ratio(np.cumsum(values), values.sum())
