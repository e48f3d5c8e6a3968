"""What detectors found: rows for the table of patterns, and the transactions behind them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import html
import json
from typing import TYPE_CHECKING, Any

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
from synfin_analytics._core.output import Output, check_output, to_frame
from synfin_analytics.detection.detector import FOUND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synfin_analytics.detection._context import Ledger
    from synfin_analytics.detection.detector import Detector

#: From so much money, or so many customers, on.
_SEVERITIES = (("critical", 5000.0, 10), ("high", 1000.0, 3), ("medium", 200.0, 2))
_COLUMNS: dict[str, Any] = {
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
_LINKS: dict[str, Any] = {
    "pattern": pl.Int64,
    "pattern_type": pl.String,
    "transaction_id": pl.String,
}
_SHOWN = 10


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class DetectedPatterns:
    """Patterns that were found in transactions; shows itself in a notebook.

    Attributes
    ----------
    table
        Name of the table that they belong into.
    detectors
        Names of the detectors that could look.
    skipped
        Names of those that could not, each with the reason.
    """

    table: str
    detectors: tuple[str, ...]
    skipped: Mapping[str, str]
    _patterns: pl.DataFrame
    _links: pl.DataFrame

    def __len__(self) -> int:
        return len(self._patterns)

    def to_frame(self, output: Output = "pandas") -> Any:
        """Patterns, one a row, as they are loaded into their table.

        Parameters
        ----------
        kind
            ``"pandas"``, ``"polars"`` or ``"arrow"``.

        Returns
        -------
        DataFrame
            ``pattern_type``, ``name``, ``description``; ``characteristics``, a JSON text of whom
            and what it is about and of the figures; ``severity``; ``detection_count``, how many
            transactions it is; ``first_detected`` and ``last_detected``, their first and last
            moment; ``confidence_score``. By type, then by time.
        """
        return _as(self._patterns, output)

    def transactions(self, output: Output = "pandas") -> Any:
        """Transactions concerned: ``pattern`` (the row of :meth:`frame`, from 0), its type, id.

        A transaction may belong to several patterns.
        """
        return _as(self._links, output)

    def summary(self, output: Output = "pandas") -> Any:
        """How many patterns, transactions and customers there are of each type."""
        counted = self._patterns.group_by("pattern_type").agg(
            pl.len().cast(pl.Int64).alias("patterns"),
            pl.col("detection_count").sum().alias("transactions"),
            pl.col("confidence_score").mean().round(2).alias("mean_confidence"),
        )
        every = pl.DataFrame({"pattern_type": list(self.detectors)}, {"pattern_type": pl.String})
        found = every.join(counted, on="pattern_type", how="left", maintain_order="left")
        return _as(found.with_columns(pl.col("patterns", "transactions").fill_null(0)), output)

    def __repr__(self) -> str:
        found = [
            f"{row['pattern_type']} {row['patterns']:,}"
            for row in self.summary("polars").iter_rows(named=True)
        ]
        without = f"; not looked for: {', '.join(self.skipped)}" if self.skipped else ""
        return (
            f"DetectedPatterns({pluralize(len(self), 'pattern')} in "
            f"{pluralize(self._links['transaction_id'].n_unique(), 'transaction')}: "
            f"{', '.join(found)}{without})"
        )

    def _repr_html_(self) -> str:
        summary = self.summary("polars")
        parts = [
            f"<p><b>{pluralize(len(self), 'pattern')}</b></p>",
            table_html(summary.columns, [[*map(_cell, row)] for row in summary.iter_rows()]),
        ]
        parts += [
            f"<p>Not looked for: {html.escape(name)} ({html.escape(why)})</p>"
            for name, why in self.skipped.items()
        ]
        some = self._patterns.sort("confidence_score", descending=True).head(_SHOWN)
        if len(some):
            rows = (
                (name, description, severity, format_date(first), format_percent(confidence))
                for name, description, severity, first, confidence in some.select(
                    "name", "description", "severity", "first_detected", "confidence_score"
                ).iter_rows()
            )
            head = ["pattern", "what was found", "severity", "from", "confidence"]
            parts.append(table_html(head, rows, text_columns=(0, 1, 2)))
        return "".join(parts)


def _cell(value: object) -> str:
    return NO_VALUE if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def told(
    ledger: Ledger,
    found: Mapping[Detector, pl.DataFrame],
    skipped: Mapping[str, str],
    *,
    harmless: bool,
) -> DetectedPatterns:
    """Put what detectors found into words, rows and links.

    Parameters
    ----------
    ledger
        The transactions that they looked at.
    found
        Rows of each detector, see :meth:`Detector.find`.
    skipped
        Detectors that could not look, and why.
    harmless
        Whether these are anomalies: their severity is low.
    """
    patterns: list[dict[str, Any]] = []
    links = [pl.DataFrame(schema=_LINKS)]
    for detector, hits in found.items():
        episodes = _episodes(ledger, hits, detector.about)
        rows = episodes.iter_rows(named=True)
        patterns += [_row(detector, episode, harmless=harmless) for episode in rows]
        numbers = pl.int_range(len(patterns) - len(episodes), len(patterns), eager=True)
        links.append(
            episodes.select(
                numbers.cast(pl.Int64).alias("pattern"),
                pl.lit(detector.name).alias("pattern_type"),
                pl.col("transactions").alias("transaction_id"),
            ).explode("transaction_id")
        )
    return DetectedPatterns(
        "anomaly_patterns" if harmless else "fraud_patterns",
        tuple(one.name for one in found),
        dict(skipped),
        pl.DataFrame(patterns, schema=_COLUMNS),
        pl.concat(links),
    )


def _episodes(ledger: Ledger, hits: pl.DataFrame, about: str) -> pl.DataFrame:
    """One row for each episode, by time: who and what it is about, and its figures."""
    figures = [name for name in hits.columns if name not in FOUND]
    subject = "subject" if "subject" in hits.columns else f"{about.removesuffix('s')}_id"
    hits = hits.sort("place")
    rows = ledger.frame.select(
        "transaction_id", "customer_id", "merchant_id", "amount", "timestamp"
    )
    rows = pl.concat([hits, rows[hits["place"]]], how="horizontal")
    return (
        rows.group_by("episode", maintain_order=True)
        .agg(
            pl.col("strength").mean(),
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
        .sort("first", "customers")
    )


def _row(detector: Detector, episode: dict[str, Any], *, harmless: bool) -> dict[str, Any]:
    money = {"payments": episode["payments"], "amount": episode["amount"]}
    figures = money | (episode["figures"] or {})
    characteristics = {
        "about": detector.about,
        "subjects": episode["subjects"],
        "customers": episode["customers"],
        "merchants": episode["merchants"],
        "transactions": episode["transactions"],
        "figures": figures,
        "rule": {
            field.name: _plain(getattr(detector, field.name))
            for field in dataclasses.fields(detector)
        },
    }
    return {
        "pattern_type": detector.name,
        "name": detector.title,
        "description": f"{detector.words(figures)}; {format_number(figures['amount'], 2)} in all.",
        "characteristics": json.dumps(characteristics, ensure_ascii=False),
        "severity": "low" if harmless else _severity(figures["amount"], len(episode["customers"])),
        "detection_count": episode["payments"],
        "first_detected": episode["first"],
        "last_detected": episode["last"],
        "confidence_score": round(episode["strength"], 3),
    }


def _severity(amount: float, customers: int) -> str:
    for name, money, people in _SEVERITIES:
        if amount >= money or customers >= people:
            return name
    return "low"


def _plain(value: Any) -> Any:
    if isinstance(value, dt.timedelta):
        return format_duration(value)
    return list(value) if isinstance(value, tuple) else value


def _as(frame: pl.DataFrame, kind: Output) -> Any:
    check_output(kind)
    if kind == "polars":
        return frame
    table = frame.to_arrow()
    return to_frame({name: (table[name].type, table[name].chunks) for name in frame.columns}, kind)
