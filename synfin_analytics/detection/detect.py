"""Run detectors over transactions: :func:`detect_patterns` and :func:`detect_anomalies`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from synfin_analytics._core.arguments import argument_error
from synfin_analytics._core.dataframes import native_frame
from synfin_analytics._core.distributed import open_distributed
from synfin_analytics._core.formatting import join_words
from synfin_analytics.detection._context import DetectionContext
from synfin_analytics.detection._distributed import DistributedTransactions
from synfin_analytics.detection.amounts import AmountSpike, JustBelowLimit, LargePurchase
from synfin_analytics.detection.cards import (
    AccountTakeover,
    CardTesting,
    DormantCard,
    NightSpree,
    VelocityBurst,
)
from synfin_analytics.detection.detector import Detector
from synfin_analytics.detection.merchants import CollusionRing, CompromisedMerchant, RefundAbuse
from synfin_analytics.detection.result import DetectedPatterns, build_result, join_transactions
from synfin_analytics.detection.travel import HolidayTravel, ImpossibleTravel
from synfin_analytics.exceptions import ArgumentError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

    from synfin_analytics._core.transaction_source import TransactionSource

#: Detectors of fraud, by name of the pattern.
FRAUD_DETECTORS: Mapping[str, type[Detector]] = {
    detector.name: detector
    for detector in (
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
#: Detectors of what only resembles fraud, by name of the pattern.
ANOMALY_DETECTORS: Mapping[str, type[Detector]] = {
    detector.name: detector for detector in (HolidayTravel, LargePurchase)
}


def detect_patterns(
    df: IntoFrame | TransactionSource,
    patterns: Sequence[str | Detector] | str | Detector | None = None,
    *,
    n_buckets: int | None = None,
) -> DetectedPatterns:
    """Detect patterns of fraud in transactions, without their labels.

    Neither labels nor anything derived from them is read: ``is_fraud``, ``fraud_type`` and similar
    columns may be present, and change nothing.

    Parameters
    ----------
    df
        Transactions, one a row, in any order: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask
        or PySpark. The more columns of the table it has, the more is detected.
    patterns
        Names of patterns, or detectors with your own thresholds, such as
        ``[CardTesting(min_count=6), "refund_abuse"]``; by default all eleven with their default
        thresholds.
    n_buckets
        For Dask and PySpark, how many groups of customers, and of merchants, to search; a worker
        has one group in memory. Default: partitions of Dask's frame, or
        ``spark.sql.shuffle.partitions``.

    Returns
    -------
    DetectedPatterns
        The patterns, their transactions, and which detectors were skipped for lack of a column.

    Raises
    ------
    NotFoundError
        A pattern is unknown, or a required column is missing; the message suggests the closest
        name.
    ArgumentError
        A transaction is repeated, or has no time, customer, merchant or amount.

    Notes
    -----
    The transactions of Dask and PySpark stay where they are: workers search them by customer, then
    by merchant, and only what is found comes to this process. Their frame is read up to four times;
    persist it if it is expensive to compute.

    A detector reads the whole period, before and after each payment. What it finds is suspicion,
    not proof: the guide has the precision of each detector. The confidence measures how far an
    episode exceeds the thresholds, from about 0.5 to 1; it is not a probability.

    Examples
    --------
    >>> import polars as pl
    >>> transactions = pl.DataFrame(
    ...     {
    ...         "transaction_id": [f"T{n}" for n in range(9)],
    ...         "customer_id": "C1",
    ...         "merchant_id": ["M1"] * 3 + ["M2"] * 5 + ["M3"],
    ...         "amount": [40.0, 35.0, 50.0, 1.0, 1.2, 0.9, 1.1, 1.0, 480.0],
    ...         "timestamp": [f"2026-03-0{n + 1}T12:00" for n in range(3)]
    ...         + [f"2026-03-04T12:0{n}" for n in range(6)],
    ...     }
    ... ).with_columns(pl.col("timestamp").str.to_datetime())
    >>> patterns = detect_patterns(transactions, "card_testing")
    >>> patterns.to_frame("polars")["description"].item()
    '5 tiny payments in quick succession, then 480.00; total 485.20.'
    """
    return _detect(df, patterns, FRAUD_DETECTORS, "detect_patterns", n_buckets, is_anomaly=False)


def detect_anomalies(
    df: IntoFrame | TransactionSource,
    patterns: Sequence[str | Detector] | str | Detector | None = None,
    *,
    n_buckets: int | None = None,
) -> DetectedPatterns:
    """Detect what is unusual in transactions, and need not be fraud.

    Parameters
    ----------
    df, patterns, n_buckets
        As for :func:`detect_patterns`; the patterns are ``holiday_travel`` and ``large_purchase``.

    Returns
    -------
    DetectedPatterns
        As for :func:`detect_patterns`, for the table ``anomaly_patterns``.

    Raises
    ------
    NotFoundError, ArgumentError
        As for :func:`detect_patterns`.

    Examples
    --------
    >>> from synfin_analytics import simulate
    >>> world = simulate(customers=100, merchants=60, days=60, seed=1)
    >>> detect_anomalies(world.transactions).detectors
    ('holiday_travel', 'large_purchase')
    """
    return _detect(df, patterns, ANOMALY_DETECTORS, "detect_anomalies", n_buckets, is_anomaly=True)


def _detect(
    df: IntoFrame | TransactionSource,
    patterns: Sequence[str | Detector] | str | Detector | None,
    available: Mapping[str, type[Detector]],
    caller: str,
    n_buckets: int | None,
    *,
    is_anomaly: bool,
) -> DetectedPatterns:
    detectors = _select_detectors(patterns, available)
    distributed = open_distributed(native_frame(df), caller, n_buckets)
    transactions: DetectionContext | DistributedTransactions = (
        DetectionContext.from_frame(df, caller)
        if distributed is None
        else DistributedTransactions.from_frame(distributed)
    )
    runnable, skipped = [], {}
    for detector in detectors:
        missing = [
            name for name in detector.required_columns if name not in transactions.available_columns
        ]
        if missing:
            skipped[detector.name] = f"the transactions have no {join_words(missing)}"
        else:
            runnable.append(detector)
    if isinstance(transactions, DistributedTransactions):
        found = transactions.find(runnable)
    else:
        context = transactions
        found = {
            detector: join_transactions(context, detector.find(context)) for detector in runnable
        }
    return build_result(found, skipped, is_anomaly=is_anomaly)


def _select_detectors(
    patterns: Sequence[str | Detector] | str | Detector | None,
    available: Mapping[str, type[Detector]],
) -> list[Detector]:
    if patterns is None:
        return [detector() for detector in available.values()]
    detectors = []
    if isinstance(patterns, str | Detector) or not isinstance(patterns, Iterable):
        patterns = [patterns]
    for pattern in patterns:
        if isinstance(pattern, str):
            if pattern not in available:
                raise NotFoundError("pattern", pattern, available)
            detectors.append(available[pattern]())
        elif isinstance(pattern, tuple(available.values())):
            detectors.append(pattern)
        else:
            must_be = f"names or detectors of {', '.join(available)}"
            raise argument_error("patterns", must_be, pattern)
    names = [detector.name for detector in detectors]
    for name in names:
        if names.count(name) > 1:
            raise ArgumentError(f"`patterns` must have each pattern once; got {name!r} twice.")
    return detectors
