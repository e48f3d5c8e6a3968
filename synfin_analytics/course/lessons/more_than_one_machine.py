"""Exercises for lesson 08: what can be aggregated from parts, and what cannot."""

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

from synfin_analytics.course.graders import Number, Numbers, Table, share
from synfin_analytics.course.lessons import Lesson
from synfin_analytics.course.lessons._data import (
    fraud_rates,
    make_scored_payments,
    roc_auc,
    wilson_interval,
    with_labels_as_of_today,
)

if TYPE_CHECKING:
    from collections.abc import Callable

#: Days in each file, the remaining ones in the last: the parts have different sizes.
_DAYS = (23, 12, 6, 3)
_CLOSED_AFTER = 2
_COLUMNS = ("transaction_id", "customer_id", "timestamp", "amount", "channel", "score", "is_fraud")


@dataclass(frozen=True, eq=False)
class Facts:
    """The payments of each machine."""

    parts: tuple[pl.DataFrame, ...]

    @property
    def payments(self) -> pl.DataFrame:
        """All payments."""
        return pl.concat(self.parts)

    def mean_over_machines(self, compute: Callable[[pl.DataFrame], float]) -> float:
        """Return the mean of a metric of the labelled payments over the machines with frauds."""
        labelled = [part.drop_nulls("is_fraud") for part in self.parts]
        return float(np.mean([compute(part) for part in labelled if part["is_fraud"].sum()]))


@functools.lru_cache(maxsize=3)
def make_facts(seed: int) -> Facts:
    """Generate the data of a student."""
    payments = with_labels_as_of_today(make_scored_payments(seed), _CLOSED_AFTER).select(_COLUMNS)
    payments = payments.filter(pl.col("channel") != "phone")
    day = (pl.col("timestamp") - payments["timestamp"].min()).dt.total_days()
    ends = np.cumsum(_DAYS)
    machine = sum((day >= int(end)).cast(pl.Int32) for end in ends)
    return Facts(tuple(payments.filter(machine == number) for number in range(len(ends) + 1)))


def student_data(facts: Facts) -> dict[str, tuple[Any, str]]:
    """Write a Parquet file for each machine; they are removed when Python ends."""
    folder = Path(tempfile.mkdtemp(prefix="synfin-exercise-08-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    counts = []
    for number, part in enumerate(facts.parts, 1):
        part.write_parquet(folder / f"machine-{number}.parquet")
        counts.append(
            {
                "machine": number,
                "labelled": part["is_fraud"].count(),
                "frauds": int(part["is_fraud"].sum()),
                "payments": len(part),
                "amount": float(part["amount"].sum()),
                "amount_squared": float((part["amount"] ** 2).sum()),
            }
        )
    return {
        "folder": (folder, f"{len(facts.parts)} Parquet files of payments, one for each machine"),
        "counts": (pl.DataFrame(counts).to_pandas(), "counts and sums of each machine"),
    }


LESSON = Lesson("08", "more_than_one_machine", make_facts, student_data)


@LESSON.add_exercise(
    "08.1",
    "by_channel",
    "fraud_rate accepts lazy frames: the engine counts, and only the counts are returned.",
    'pl.scan_parquet(folder / "*.parquet") scans all files without reading them.',
    "A DuckDB relation, or a Dask or Spark DataFrame, would work as well.",
)
def _grade_by_channel(facts: Facts) -> Table:
    payments = facts.payments
    truth = fraud_rates(payments, "channel")
    by_machine = pl.concat(
        [fraud_rates(part, "channel").filter(pl.col("labelled") > 0) for part in facts.parts]
    )
    mean_rates = by_machine.group_by("channel").agg(pl.col("fraud_rate").mean())
    return Table(
        truth,
        "channel",
        ("frauds", "fraud_rate"),
        "the number of frauds and the fraud rate of each channel, for the payments of all machines",
        shares=("fraud_rate",),
        mistakes={
            "The rates are means of the machines' rates, in which a machine with few payments has "
            "the same weight as one with many. Sum the counts first.": truth.select(
                "channel", "frauds"
            ).join(mean_rates, on="channel"),
            "The rates count unlabelled payments as genuine: exclude them.": fraud_rates(
                payments.with_columns(pl.col("is_fraud").fill_null(False)), "channel"
            ),
            "This is only one machine. The folder contains more files.": fraud_rates(
                facts.parts[0], "channel"
            ),
        },
    )


@LESSON.add_exercise(
    "08.2",
    "pooled_rate",
    "What can be summed? Counts can; rates and intervals cannot.",
    "Divide the frauds of all machines by the labelled payments of all machines.",
    "proportion_interval(frauds, labelled) computes Wilson's interval.",
)
def _grade_pooled_rate(facts: Facts) -> Numbers:
    counts = [(int(part["is_fraud"].sum()), int(part["is_fraud"].count())) for part in facts.parts]
    frauds, labelled = (sum(column) for column in zip(*counts, strict=True))
    rate, n_payments = frauds / labelled, len(facts.payments)
    low, high = wilson_interval(frauds, labelled)
    by_machine = [
        (n_frauds / n_labelled, *wilson_interval(n_frauds, n_labelled))
        for n_frauds, n_labelled in counts
        if n_labelled
    ]
    mean_rate, mean_low, mean_high = map(float, np.mean(by_machine, axis=0))
    task = "the fraud rate of all machines together and its Wilson interval, from their counts"
    return Numbers(
        {"rate": share(rate, task), "low": share(low, task), "high": share(high, task)},
        task,
        {
            "These are means of the machines' rates and of their intervals. Sum the counts, then "
            "divide once.": (mean_rate, mean_low, mean_high),
            "The rate is correct. The interval is a mean of the machines' intervals; that of all "
            "payments together is narrower.": (rate, mean_low, mean_high),
            "The denominator is the number of labelled payments, not of all payments.": (
                frauds / n_payments,
                *wilson_interval(frauds, n_payments),
            ),
        },
    )


@LESSON.add_exercise(
    "08.3",
    "n_customers",
    "A customer may have paid on several machines.",
    "The numbers of customers on each machine do not determine the total number.",
    'On the lazy frame: .select(pl.col("customer_id").n_unique()).collect().',
)
def _grade_n_customers(facts: Facts) -> Number:
    by_machine = [part["customer_id"].n_unique() for part in facts.parts]
    return Number(
        float(facts.payments["customer_id"].n_unique()),
        "the number of distinct customers over all machines",
        {
            "This counts a customer on every machine on which they appear. Distinct counts cannot "
            "be summed: combine the customers, then count.": float(sum(by_machine)),
            "This is the machine with the most customers. Some customers may appear only on "
            "another machine.": float(max(by_machine)),
            "This is the number of payments. Count customers.": float(len(facts.payments)),
            "This is the mean over the machines.": float(np.mean(by_machine)),
        },
        kind="count",
    )


@LESSON.add_exercise(
    "08.4",
    "mean_and_std",
    "data.counts has the number of payments, the sum of the amounts and the sum of their squares "
    "for each machine.",
    "Variance = (sum of squares - n · mean²) / (n - 1).",
    "The standard deviation is the square root of the variance; n and the sums are over all "
    "machines.",
)
def _grade_mean_and_std(facts: Facts) -> Numbers:
    amount = facts.payments["amount"].to_numpy()
    by_machine = [part["amount"].to_numpy() for part in facts.parts]
    mean, std = float(amount.mean()), float(amount.std(ddof=1))
    mean_of_means = float(np.mean([amounts.mean() for amounts in by_machine]))
    mean_of_stds = float(np.mean([amounts.std(ddof=1) for amounts in by_machine]))
    task = "mean and standard deviation of the amounts of all machines, from the machines' sums"
    return Numbers(
        {"mean": Number(mean, task), "std": Number(std, task, tolerance=1e-4 * std)},
        task,
        {
            "These are means over the machines. First sum payments, amounts and squares over the "
            "machines.": (mean_of_means, mean_of_stds),
            "The mean is correct; the second is a mean of the machines' standard deviations. "
            "Compute it from the sum of squares.": (mean, mean_of_stds),
            "The mean is correct; the second is the variance. The standard deviation is its square "
            "root.": (mean, std**2),
            "The mean is correct; the second is the root of the mean square. Subtract the square "
            "of the mean first.": (mean, float(np.sqrt((amount**2).mean()))),
        },
    )


@LESSON.add_exercise(
    "08.5",
    "roc_auc",
    "The area counts pairs of a fraud and a genuine payment, wherever they are stored.",
    "evaluate accepts lazy frames as well: only counts by score are transferred.",
    'evaluate(pl.scan_parquet(…), score="score").roc_auc.',
)
def _grade_roc_auc(facts: Facts) -> Number:
    def compute(payments: pl.DataFrame) -> float:
        fraud = payments["is_fraud"].fill_null(False).to_numpy().astype(bool)
        return roc_auc(payments["score"].to_numpy(), fraud)

    payments = facts.payments
    is_labelled = pl.col("is_fraud").is_not_null()
    return Number(
        compute(payments.filter(is_labelled)),
        "the area under the ROC curve of the labelled payments of all machines",
        {
            "This is the mean of the machines' areas. It never compares a fraud on one machine "
            "with a genuine payment on another: count by score on each machine, then combine the "
            "counts.": facts.mean_over_machines(compute),
            "This counts unlabelled payments as genuine: exclude them.": compute(payments),
            "This is only one machine.": compute(facts.parts[0].filter(is_labelled)),
        },
        kind="share",
    )
