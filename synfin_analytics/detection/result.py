"""The result of detectors: rows for the table of patterns, and the transactions of each."""

from __future__ import annotations

import dataclasses
import datetime as dt
import html
import json
from typing import TYPE_CHECKING, Any, Literal, overload

import polars as pl

from synfin_analytics._core.formatting import (
    NO_VALUE,
    format_date,
    format_duration,
    format_number,
    format_percent,
    pluralize,
)
from synfin_analytics._core.html import table_html
from synfin_analytics._core.output import from_polars
from synfin_analytics._core.results import Result
from synfin_analytics.detection._context import REQUIRED_COLUMNS
from synfin_analytics.detection.detector import EPISODE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import pyarrow as pa

    from synfin_analytics._core.output import Output
    from synfin_analytics.detection._context import DetectionContext
    from synfin_analytics.detection.detector import Detector

#: From a total amount, or a number of customers.
_SEVERITIES = (("critical", 5000.0, 10), ("high", 1000.0, 3), ("medium", 200.0, 2))
_PATTERN_SCHEMA: dict[str, Any] = {
    "pattern_type": pl.String,
    "name": pl.String,
    "description": pl.String,
    "characteristics": pl.String,
    "severity": pl.String,
    "detection_count": pl.Int64,
    "first_detected": pl.Datetime("us", "UTC"),
    "last_detected": pl.Datetime("us", "UTC"),
    "confidence_score": pl.Float64,
}
_LINK_SCHEMA: dict[str, Any] = {
    "pattern": pl.Int64,
    "pattern_type": pl.String,
    "transaction_id": pl.String,
}
#: Patterns that a notebook displays.
_MAX_DISPLAYED = 10


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class DetectedPatterns(Result):
    """Patterns that detectors found in transactions.

    ``to_frame()`` returns them as stored in their table, sorted by type and time: ``pattern_type``,
    ``name``, ``description``; ``characteristics``, JSON with the subjects, customers, merchants,
    transactions, figures and thresholds; ``severity``; ``detection_count``, the number of
    transactions; ``first_detected`` and ``last_detected``, the times of the first and the last; and
    ``confidence_score``. ``to_dict()`` returns the same with ``characteristics`` as a dictionary.

    Attributes
    ----------
    table
        Name of the table for these patterns: ``fraud_patterns`` or ``anomaly_patterns``.
    detectors
        Names of the detectors that ran.
    skipped
        Names of those that could not run, each with the reason.

    Examples
    --------
    >>> from synfin_analytics import detect_patterns, simulate
    >>> world = simulate(customers=200, merchants=80, days=60, seed=1)
    >>> patterns = detect_patterns(world.transactions, ["card_testing", "refund_abuse"])
    >>> patterns.summary("polars").columns
    ['pattern_type', 'patterns', 'transactions', 'mean_confidence']
    """

    table: str
    detectors: tuple[str, ...]
    skipped: Mapping[str, str]
    _patterns: pl.DataFrame
    _links: pl.DataFrame

    def __len__(self) -> int:
        return len(self._patterns)

    @overload
    def transactions(self, output: Literal["pandas"] = "pandas") -> pd.DataFrame: ...
    @overload
    def transactions(self, output: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def transactions(self, output: Literal["arrow"]) -> pa.Table: ...
    @overload
    def transactions(self, output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table: ...
    def transactions(self, output: Output = "pandas") -> pd.DataFrame | pl.DataFrame | pa.Table:
        """Return the transactions of each pattern; one may belong to several.

        Parameters
        ----------
        output
            ``"pandas"``, ``"polars"`` or ``"arrow"``.

        Returns
        -------
        DataFrame
            ``pattern`` (the row of :meth:`to_frame`, from 0), ``pattern_type`` and
            ``transaction_id``.

        Examples
        --------
        >>> from synfin_analytics import detect_patterns, simulate
        >>> world = simulate(customers=200, merchants=80, days=60, seed=1)
        >>> patterns = detect_patterns(world.transactions, ["card_testing", "refund_abuse"])
        >>> patterns.transactions()["pattern_type"].unique().tolist()
        ['card_testing', 'refund_abuse']
        """
        return from_polars(self._links, output)

    @overload
    def summary(self, output: Literal["pandas"] = "pandas") -> pd.DataFrame: ...
    @overload
    def summary(self, output: Literal["polars"]) -> pl.DataFrame: ...
    @overload
    def summary(self, output: Literal["arrow"]) -> pa.Table: ...
    @overload
    def summary(self, output: Output) -> pd.DataFrame | pl.DataFrame | pa.Table: ...
    def summary(self, output: Output = "pandas") -> pd.DataFrame | pl.DataFrame | pa.Table:
        """Return one row for each detector that ran.

        Parameters
        ----------
        output
            ``"pandas"``, ``"polars"`` or ``"arrow"``.

        Returns
        -------
        DataFrame
            ``pattern_type``, the numbers of ``patterns`` and ``transactions``, and the
            ``mean_confidence``.

        Examples
        --------
        >>> from synfin_analytics import detect_patterns, simulate
        >>> world = simulate(customers=200, merchants=80, days=60, seed=1)
        >>> patterns = detect_patterns(world.transactions, ["card_testing", "refund_abuse"])
        >>> patterns.summary()["pattern_type"].tolist()
        ['card_testing', 'refund_abuse']
        """
        counts = self._patterns.group_by("pattern_type").agg(
            pl.len().cast(pl.Int64).alias("patterns"),
            pl.col("detection_count").sum().alias("transactions"),
            pl.col("confidence_score").mean().round(2).alias("mean_confidence"),
        )
        types = pl.DataFrame({"pattern_type": list(self.detectors)}, {"pattern_type": pl.String})
        summary = types.join(counts, on="pattern_type", how="left", maintain_order="left")
        filled = pl.col("patterns", "transactions").fill_null(0)
        return from_polars(summary.with_columns(filled), output)

    def _table(self) -> pl.DataFrame:
        return self._patterns

    def _record(self) -> dict[str, Any]:
        patterns = [
            row | {"characteristics": json.loads(row["characteristics"])}
            for row in self._patterns.iter_rows(named=True)
        ]
        return {
            "table": self.table,
            "detectors": self.detectors,
            "skipped": self.skipped,
            "patterns": patterns,
        }

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{row['pattern_type']} {row['patterns']:,}"
            for row in self.summary("polars").iter_rows(named=True)
        )
        skipped = f"; skipped: {', '.join(self.skipped)}" if self.skipped else ""
        return (
            f"DetectedPatterns({pluralize(len(self), 'pattern')} in "
            f"{pluralize(self._links['transaction_id'].n_unique(), 'transaction')}: "
            f"{counts}{skipped})"
        )

    def _repr_html_(self) -> str:
        summary = self.summary("polars")
        parts = [
            f"<p><b>{pluralize(len(self), 'pattern')}</b></p>",
            table_html(summary.columns, [[*map(_cell, row)] for row in summary.iter_rows()]),
        ]
        parts += [
            f"<p>Skipped: {html.escape(name)} ({html.escape(reason)})</p>"
            for name, reason in self.skipped.items()
        ]
        displayed = self._patterns.sort("confidence_score", descending=True).head(_MAX_DISPLAYED)
        if len(displayed):
            rows = (
                (name, description, severity, format_date(first), format_percent(confidence))
                for name, description, severity, first, confidence in displayed.select(
                    "name", "description", "severity", "first_detected", "confidence_score"
                ).iter_rows()
            )
            head = ["pattern", "description", "severity", "first detected", "confidence"]
            parts.append(table_html(head, rows, text_columns=(0, 1, 2)))
        return "".join(parts)


def _cell(value: object) -> str:
    return NO_VALUE if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def join_transactions(context: DetectionContext, rows: pl.DataFrame) -> pl.DataFrame:
    """Replace the numbers of the rows that a detector found by their transactions, by time."""
    rows = rows.sort("row")
    transactions = context.frame.select(REQUIRED_COLUMNS)[rows["row"]]
    return pl.concat([rows.drop("row"), transactions], how="horizontal")


def build_result(
    found: Mapping[Detector, pl.DataFrame], skipped: Mapping[str, str], *, is_anomaly: bool
) -> DetectedPatterns:
    """Build the patterns, with descriptions and transactions, from what detectors found.

    Parameters
    ----------
    found
        Rows that each detector found, with their transactions: see :func:`join_transactions`.
    skipped
        Detectors that could not run, and why.
    is_anomaly
        Whether these are anomalies: their severity is low.
    """
    patterns: list[dict[str, Any]] = []
    links = [pl.DataFrame(schema=_LINK_SCHEMA)]
    for detector, rows in found.items():
        episodes = _aggregate_episodes(rows, detector.subject_type)
        patterns += [
            _to_pattern(detector, episode, is_anomaly=is_anomaly)
            for episode in episodes.iter_rows(named=True)
        ]
        numbers = pl.int_range(len(patterns) - len(episodes), len(patterns), eager=True)
        links.append(
            episodes.select(
                numbers.cast(pl.Int64).alias("pattern"),
                pl.lit(detector.name).alias("pattern_type"),
                pl.col("transactions").alias("transaction_id"),
            ).explode("transaction_id")
        )
    return DetectedPatterns(
        "anomaly_patterns" if is_anomaly else "fraud_patterns",
        tuple(detector.name for detector in found),
        dict(skipped),
        pl.DataFrame(patterns, schema=_PATTERN_SCHEMA),
        pl.concat(links),
    )


def _aggregate_episodes(rows: pl.DataFrame, subject_type: str) -> pl.DataFrame:
    """Return one row for each episode, by time: its subjects, parties, transactions and figures."""
    not_figures = (*EPISODE_COLUMNS, *REQUIRED_COLUMNS)
    figures = [name for name in rows.columns if name not in not_figures]
    subject = "subject" if "subject" in rows.columns else f"{subject_type.removesuffix('s')}_id"
    return (
        rows.group_by("episode", maintain_order=True)
        .agg(
            pl.col("evidence").mean(),
            pl.col("timestamp").min().alias("first"),
            pl.col("timestamp").max().alias("last"),
            pl.len().cast(pl.Int64).alias("payments"),
            pl.col("amount").sum().round(2),
            pl.col("customer_id").unique().sort().alias("customers"),
            pl.col("merchant_id").unique().sort().alias("merchants"),
            pl.col("transaction_id").alias("transactions"),
            pl.col(subject).unique().sort().alias("subjects"),
            pl.struct([pl.col(name).first() for name in figures]).alias("figures")
            if figures
            else pl.lit(None).alias("figures"),
        )
        .sort("first", "customers", maintain_order=True)
    )


def _to_pattern(detector: Detector, episode: dict[str, Any], *, is_anomaly: bool) -> dict[str, Any]:
    amount, n_customers = episode["amount"], len(episode["customers"])
    figures = {"payments": episode["payments"], "amount": amount} | (episode["figures"] or {})
    thresholds = {
        field.name: _to_json(getattr(detector, field.name))
        for field in dataclasses.fields(detector)
    }
    characteristics = {
        "subject_type": detector.subject_type,
        "subjects": episode["subjects"],
        "customers": episode["customers"],
        "merchants": episode["merchants"],
        "transactions": episode["transactions"],
        "figures": figures,
        "thresholds": thresholds,
    }
    return {
        "pattern_type": detector.name,
        "name": detector.title,
        "description": f"{detector.describe(figures)}; total {format_number(amount, 2)}.",
        "characteristics": json.dumps(characteristics, ensure_ascii=False),
        "severity": "low" if is_anomaly else _severity(amount, n_customers),
        "detection_count": episode["payments"],
        "first_detected": episode["first"],
        "last_detected": episode["last"],
        "confidence_score": round(episode["evidence"], 3),
    }


def _severity(amount: float, n_customers: int) -> str:
    for name, min_amount, min_customers in _SEVERITIES:
        if amount >= min_amount or n_customers >= min_customers:
            return name
    return "low"


def _to_json(value: Any) -> Any:
    if isinstance(value, dt.timedelta):
        return format_duration(value)
    return list(value) if isinstance(value, tuple) else value
