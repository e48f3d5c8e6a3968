"""Exercises to lesson 08: what can be counted apart and added up, and what cannot."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.course.exercise import Exercise, Lesson
from synfin_analytics.course.graders import Number, Numbers, Table, share
from synfin_analytics.course.lessons.worlds import (
    as_known_today,
    rates,
    roc_auc,
    scored,
    wilson,
)

if TYPE_CHECKING:
    from collections.abc import Callable

#: Days in each file, the last takes what is left: the machines have unequal parts.
_DAYS = (23, 12, 6, 3)
_CLOSED_AFTER = 2
_COLUMNS = ("transaction_id", "customer_id", "timestamp", "amount", "channel", "score", "is_fraud")


@dataclass(frozen=True, eq=False)
class Facts:
    """The payments of each machine."""

    parts: tuple[pl.DataFrame, ...]

    @property
    def payments(self) -> pl.DataFrame:
        """All of them."""
        return pl.concat(self.parts)

    def mean_of(self, value: Callable[[pl.DataFrame], float]) -> float:
        """Mean of what each machine's labelled payments give, where that is defined."""
        labelled = [part.filter(pl.col("is_fraud").is_not_null()) for part in self.parts]
        values = [value(part) for part in labelled if part["is_fraud"].sum()]
        return float(np.mean(values))


@functools.lru_cache(maxsize=3)
def facts(seed: int) -> Facts:
    """Make the data of a student."""
    rows = as_known_today(scored(seed), _CLOSED_AFTER).select(_COLUMNS)
    rows = rows.filter(pl.col("channel") != "phone")
    day = (pl.col("timestamp") - rows["timestamp"].min()).dt.total_days()
    ends = np.cumsum(_DAYS)
    part = sum((day >= int(end)).cast(pl.Int32) for end in ends)
    return Facts(tuple(rows.filter(part == number) for number in range(len(ends) + 1)))


def handed_out(known: Facts) -> dict[str, tuple[Any, str]]:
    """Write a Parquet file for each machine; it goes when Python ends."""
    folder = Path(tempfile.mkdtemp(prefix="synfin-exercise-08-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for number, part in enumerate(known.parts, 1):
        part.write_parquet(folder / f"machine-{number}.parquet")
    counts = [
        {
            "machine": number,
            "labelled": part["is_fraud"].count(),
            "frauds": int(part["is_fraud"].sum()),
            "payments": len(part),
            "amount": float(part["amount"].sum()),
            "amount_squared": float((part["amount"] ** 2).sum()),
        }
        for number, part in enumerate(known.parts, 1)
    ]
    return {
        "folder": (folder, f"{len(known.parts)} Parquet files of payments, one for each machine"),
        "counts": (pl.DataFrame(counts).to_pandas(), "what each machine has counted and added up"),
    }


def _by_channel(known: Facts) -> Table:
    payments = known.payments
    right = rates(payments, "channel")
    each = pl.concat(
        [rates(part, "channel").filter(pl.col("labelled") > 0) for part in known.parts]
    )
    means = each.group_by("channel").agg(pl.col("fraud_rate").mean())
    counts = right.select("channel", "frauds")
    as_genuine = rates(payments.with_columns(pl.col("is_fraud").fill_null(False)), "channel")
    return Table(
        right,
        "channel",
        ("frauds", "fraud_rate"),
        "for each channel the number of frauds and the fraud rate, of the payments of all machines",
        shares=("fraud_rate",),
        mistakes={
            "The rates are means of the machines' rates. A machine with few payments then weighs "
            "as much as one with many: add the counts up first.": counts.join(means, on="channel"),
            "The rates take unlabelled payments for genuine ones: leave them out.": as_genuine,
            "That is one machine only. There are more files in the folder.": rates(
                known.parts[0], "channel"
            ),
        },
    )


def _pooled(known: Facts) -> Numbers:
    counted = [(int(p["is_fraud"].sum()), int(p["is_fraud"].count())) for p in known.parts]
    some = [one for one in counted if one[1]]
    frauds, labelled = (sum(one[place] for one in counted) for place in (0, 1))
    low, high = wilson(frauds, labelled)
    each = np.array([(one[0] / one[1], *wilson(*one)) for one in some]).mean(axis=0)
    rate, total = frauds / labelled, len(known.payments)
    asks = "the fraud rate of all machines together and its Wilson interval, from their counts"
    return Numbers(
        {"rate": share(rate, asks), "low": share(low, asks), "high": share(high, asks)},
        asks,
        {
            "Those are means of the machines' rates and of the ends of their intervals. Add up "
            "what they counted, and divide once.": tuple(map(float, each)),
            "The rate is right. The interval is a mean of the machines' intervals: of all payments "
            "together it is narrower.": (rate, float(each[1]), float(each[2])),
            "Below the line stand labelled payments, not all payments.": (
                frauds / total,
                *wilson(frauds, total),
            ),
        },
    )


def _customers(known: Facts) -> Number:
    each = [part["customer_id"].n_unique() for part in known.parts]
    return Number(
        float(known.payments["customer_id"].n_unique()),
        "how many different customers paid, over all machines",
        {
            "A customer who appears on several machines was counted there each time. Different "
            "ones cannot be added up: bring the customers together, then count.": float(sum(each)),
            "That is the machine with most of them. There may be customers who paid only on "
            "another.": float(max(each)),
            "That is the number of payments. Customers are asked for.": float(len(known.payments)),
            "That is the mean over the machines.": float(np.mean(each)),
        },
        kind="count",
    )


def _spread(known: Facts) -> Numbers:
    amount = known.payments["amount"].to_numpy()
    each = [part["amount"].to_numpy() for part in known.parts]
    mean, sd = float(amount.mean()), float(amount.std(ddof=1))
    means = float(np.mean([one.mean() for one in each]))
    spreads = float(np.mean([one.std(ddof=1) for one in each]))
    asks = "mean and standard deviation of the amounts of all machines, from what each added up"
    return Numbers(
        {"mean": Number(mean, asks), "deviation": Number(sd, asks, tolerance=1e-4 * sd)},
        asks,
        {
            "Those are means over the machines. Add up payments, amounts and squares over the "
            "machines first.": (means, spreads),
            "The mean is right; the deviation is a mean over the machines. It follows from the "
            "sum of the squares.": (mean, spreads),
            "The mean is right; the second is the variance. The deviation is its root.": (
                mean,
                sd**2,
            ),
            "The mean is right. You forgot to take the square of the mean off: that is the root of "
            "the mean square.": (mean, float(np.sqrt((amount**2).mean()))),
        },
    )


def _area(known: Facts) -> Number:
    def of(frame: pl.DataFrame) -> float:
        fraud = frame["is_fraud"].fill_null(False).to_numpy().astype(bool)
        return roc_auc(frame["score"].to_numpy(), fraud)

    payments = known.payments
    labelled = payments.filter(pl.col("is_fraud").is_not_null())
    return Number(
        of(labelled),
        "the area under the ROC curve of the labelled payments of all machines",
        {
            "That is the mean of the machines' areas. It never compares a fraud on one machine "
            "with a genuine payment on another: count by score on each, then bring the counts "
            "together.": known.mean_of(of),
            "That takes unlabelled payments for genuine ones: leave them out.": of(payments),
            "That is one machine only.": of(
                known.parts[0].filter(pl.col("is_fraud").is_not_null())
            ),
        },
        kind="share",
    )


LESSON = Lesson(
    "08",
    "more_than_one_machine",
    facts,
    handed_out,
    (
        Exercise(
            "08.1",
            "by_channel",
            (
                "fraud_rate takes lazy frames: the engine counts, only the counts come back.",
                'pl.scan_parquet(folder / "*.parquet") is all files, none of them read yet.',
                "A DuckDB relation, or a frame of Dask or Spark, would do as well.",
            ),
            _by_channel,
        ),
        Exercise(
            "08.2",
            "pooled",
            (
                "What can be added up? Counts can; rates and intervals cannot.",
                "Frauds of all machines over labelled payments of all machines.",
                "proportion_interval(frauds, labelled) is Wilson's.",
            ),
            _pooled,
        ),
        Exercise(
            "08.3",
            "customers",
            (
                "A customer may have paid on several machines.",
                "How many customers there are on each does not say how many there are in all.",
                'On the lazy frame: .select(pl.col("customer_id").n_unique()).collect().',
            ),
            _customers,
        ),
        Exercise(
            "08.4",
            "spread",
            (
                "data.counts has for each machine the payments, their amounts added up, and the "
                "squares of the amounts added up.",
                "Variance = (sum of squares - n · mean²) / (n - 1).",
                "The deviation is the root of the variance; n, sums and squares are of all "
                "machines.",
            ),
            _spread,
        ),
        Exercise(
            "08.5",
            "area",
            (
                "The area counts pairs of a fraud and a genuine payment, wherever they are stored.",
                "evaluate takes lazy frames too: what travels are counts by score.",
                'evaluate(pl.scan_parquet(…), score="score").roc_auc.',
            ),
            _area,
        ),
    ),
)
