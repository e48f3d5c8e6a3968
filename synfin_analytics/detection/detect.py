"""Look for patterns: each detector for itself, over the same transactions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from synfin_analytics._core.formatting import join_words
from synfin_analytics.detection._context import Ledger
from synfin_analytics.detection.account_takeover import AccountTakeover
from synfin_analytics.detection.amount_spike import AmountSpike
from synfin_analytics.detection.card_testing import CardTesting
from synfin_analytics.detection.collusion_ring import CollusionRing
from synfin_analytics.detection.compromised_merchant import CompromisedMerchant
from synfin_analytics.detection.detector import Detector
from synfin_analytics.detection.dormant_card import DormantCard
from synfin_analytics.detection.holiday_travel import HolidayTravel
from synfin_analytics.detection.impossible_travel import ImpossibleTravel
from synfin_analytics.detection.just_below_limit import JustBelowLimit
from synfin_analytics.detection.large_purchase import LargePurchase
from synfin_analytics.detection.night_spree import NightSpree
from synfin_analytics.detection.refund_abuse import RefundAbuse
from synfin_analytics.detection.result import DetectedPatterns, told
from synfin_analytics.detection.velocity_burst import VelocityBurst
from synfin_analytics.exceptions import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FRAUD: Mapping[str, type[Detector]] = {
    one.name: one
    for one in (
        CardTesting,
        VelocityBurst,
        ImpossibleTravel,
        AmountSpike,
        CompromisedMerchant,
        AccountTakeover,
        DormantCard,
        JustBelowLimit,
        NightSpree,
        CollusionRing,
        RefundAbuse,
    )
}
ANOMALIES: Mapping[str, type[Detector]] = {one.name: one for one in (HolidayTravel, LargePurchase)}


def detect_patterns(
    df: Any, patterns: Sequence[str | Detector] | str | Detector | None = None
) -> DetectedPatterns:
    """Find patterns of fraud in transactions, from the transactions alone.

    No label is looked at, nor anything that follows from one: ``is_fraud``, ``fraud_type`` and
    their like may be there, and change nothing.

    Parameters
    ----------
    transactions
        One a row, in any order: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
        The more columns of the table they have, the more is found.
    patterns
        Names of patterns, or detectors with thresholds of their own, as
        ``[CardTesting(min_count=6), "refund_abuse"]``; all eleven with their usual thresholds by
        default.

    Returns
    -------
    DetectedPatterns
        What was found, and which detectors lacked a column.

    Raises
    ------
    NotFoundError
        There is no such pattern, or a required column is missing; the message names the nearest.
    ArgumentError
        A transaction is there twice, or has no time, customer, merchant or amount.

    Notes
    -----
    A detector looks at the whole period, before and after each payment. What it finds is suspicion:
    docs/patterns.md says how often each is right. The confidence says how far beyond its thresholds
    an episode is, from about 0.5 to 1; it is no probability.

    Examples
    --------
    >>> import polars as pl
    >>> tests = pl.DataFrame(
    ...     {
    ...         "transaction_id": [f"T{n}" for n in range(9)],
    ...         "customer_id": "C1",
    ...         "merchant_id": ["M1"] * 3 + ["M2"] * 5 + ["M3"],
    ...         "amount": [40.0, 35.0, 50.0, 1.0, 1.2, 0.9, 1.1, 1.0, 480.0],
    ...         "timestamp": [f"2026-03-0{n + 1}T12:00" for n in range(3)]
    ...         + [f"2026-03-04T12:0{n}" for n in range(6)],
    ...     }
    ... ).with_columns(pl.col("timestamp").str.to_datetime())
    >>> found = detect_patterns(tests, "card_testing")
    >>> found.to_frame("polars")["description"].item()
    '5 tiny payments in short order, then 480.00; 485.20 in all.'
    """
    return _detected(df, patterns, FRAUD, "detect_patterns", harmless=False)


def detect_anomalies(
    df: Any, patterns: Sequence[str | Detector] | str | Detector | None = None
) -> DetectedPatterns:
    """Find what is unusual in transactions, and need not be fraud.

    Parameters, result and errors are those of :func:`detect_patterns`; the patterns are
    ``holiday_travel`` and ``large_purchase``.
    """
    return _detected(df, patterns, ANOMALIES, "detect_anomalies", harmless=True)


def _detected(
    transactions: Any,
    patterns: Sequence[str | Detector] | str | Detector | None,
    known: Mapping[str, type[Detector]],
    caller: str,
    *,
    harmless: bool,
) -> DetectedPatterns:
    detectors = _chosen(patterns, known)
    ledger = Ledger.of(transactions, caller)
    found, skipped = {}, {}
    for detector in detectors:
        lacking = [name for name in detector.needs if name not in ledger.known]
        if lacking:
            skipped[detector.name] = f"the transactions have no {join_words(lacking)}"
        else:
            found[detector] = detector.find(ledger)
    return told(ledger, found, skipped, harmless=harmless)


def _chosen(
    patterns: Sequence[str | Detector] | str | Detector | None,
    known: Mapping[str, type[Detector]],
) -> list[Detector]:
    if patterns is None:
        return [one() for one in known.values()]
    chosen = []
    if isinstance(patterns, str | Detector) or not isinstance(patterns, Iterable):
        patterns = [patterns]
    for one in patterns:
        if isinstance(one, str):
            if one not in known:
                raise NotFoundError("pattern", one, known)
            chosen.append(known[one]())
        elif isinstance(one, tuple(known.values())):
            chosen.append(one)
        else:
            raise ArgumentError(
                f"`patterns` must be names or detectors of {', '.join(known)}; got {one!r}."
            )
    names = [one.name for one in chosen]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(f"`patterns` must name each pattern once; got {name!r} twice.")
    return chosen
