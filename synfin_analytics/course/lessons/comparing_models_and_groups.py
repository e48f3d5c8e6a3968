"""Exercises to lesson 06: whether a model is better, and whom it serves worse."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from synfin_analytics.course.exercise import Exercise, Lesson
from synfin_analytics.course.graders import Number, Numbers, Table
from synfin_analytics.course.lessons.worlds import (
    as_known_today,
    average_precision,
    average_precision_of,
    roc_auc,
    scored,
    wald,
    wilson,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_DRAWS = 800
#: Share of the interval's width that chance may move an end: both were drawn.
_CHANCE = 0.15
#: Groups with fewer frauds say little.
_FEW = 10
_COLUMNS = (
    "transaction_id", "customer_id", "timestamp", "amount", "channel", "old", "new", "is_fraud",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Facts:
    """Payments with the scores of two models, and a threshold of the new one."""

    payments: pl.DataFrame
    threshold: float

    @property
    def labelled(self) -> pl.DataFrame:
        """Payments whose label is known."""
        return self.payments.filter(pl.col("is_fraud").is_not_null())


@functools.lru_cache(maxsize=3)
def facts(seed: int) -> Facts:
    """Make the data of a student.

    The new model knows more than the old one, how the card was read and how far from home, and is
    a little unsteady.
    """
    rows = as_known_today(scored(seed)).filter(pl.col("channel") != "phone")
    noise = np.random.default_rng(seed).normal(0, 0.35, len(rows))
    log_odds = pl.col("score").clip(1e-9, 1 - 1e-9)
    log_odds = (log_odds / (1 - log_odds)).log()
    more = (
        1.6 * pl.col("entry_mode").is_in(["magstripe", "manual"]).cast(pl.Float64)
        + 1.2 * (pl.col("distance_from_home").fill_null(0) > 300).cast(pl.Float64)
        + pl.Series(noise)
    )
    rows = rows.with_columns(
        pl.col("score").alias("old"), (1 / (1 + (-(log_odds + more)).exp())).alias("new")
    )
    return Facts(rows.select(_COLUMNS), round(float(rows["new"].quantile(0.985) or 0), 3))


def handed_out(known: Facts) -> dict[str, tuple[Any, str]]:
    """Give a frame of pandas, and the threshold."""
    return {
        "payments": (
            known.payments.to_pandas(),
            f"{len(known.payments):,} payments with the scores of an old and of a new model",
        ),
        "threshold": (known.threshold, "from this score of the new model on, it is an alert"),
    }


def _arrays(frame: pl.DataFrame) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    fraud = frame["is_fraud"].fill_null(False).to_numpy().astype(bool)
    return frame["old"].to_numpy(), frame["new"].to_numpy(), fraud


def _difference(known: Facts) -> Number:
    old, new, fraud = _arrays(known.labelled)
    all_old, all_new, as_genuine = _arrays(known.payments)
    first, second = average_precision(old, fraud), average_precision(new, fraud)
    return Number(
        second - first,
        "how much higher the average precision of the new model is than that of the old one",
        {
            "That is old minus new. How much better the new one is, is asked for.": first - second,
            "That is the difference of the areas under the ROC curve. Where fraud is rare, these "
            "are close to each other; average precision is asked for.": roc_auc(new, fraud)
            - roc_auc(old, fraud),
            "That is the average precision of the new model alone.": second,
            "That is how much better it is in proportion. The difference is asked for.": second
            / first
            - 1,
            "That takes unlabelled payments for genuine ones. Leave them out, or let evaluate do "
            "so.": average_precision(all_new, as_genuine) - average_precision(all_old, as_genuine),
        },
    )


@functools.lru_cache(maxsize=3)
def _drawn(known: Facts) -> NDArray[np.float64]:
    """Average precision of both models in draws of customers: two columns."""
    labelled = known.labelled
    old, new, fraud = _arrays(labelled)
    codes = np.unique(labelled["customer_id"].to_numpy(), return_inverse=True)[1]
    random = np.random.default_rng(20_260)
    customers = int(codes.max()) + 1
    draws = random.multinomial(customers, np.full(customers, 1 / customers), size=_DRAWS)
    models = [average_precision_of(score, fraud) for score in (old, new)]
    weights = draws.astype(np.float64)
    return np.array([[model(draw[codes]) for model in models] for draw in weights])


def _interval(known: Facts) -> Numbers:
    drawn = _drawn(known)
    old, new, fraud = _arrays(known.labelled)
    first, second = average_precision(old, fraud), average_precision(new, fraud)
    ends = np.quantile(drawn[:, 1] - drawn[:, 0], [0.025, 0.975])
    each = np.quantile(drawn, [0.025, 0.975], axis=0)
    low, high = float(ends[0]), float(ends[1])
    within = _CHANCE * (high - low)
    asks = "new minus old, and the interval of that from draws of customers that both models share"
    return Numbers(
        {
            "difference": Number(second - first, asks),
            "low": Number(low, asks, tolerance=within),
            "high": Number(high, asks, tolerance=within),
        },
        asks,
        {
            "That takes the two models' intervals from each other, as if each had been tested on "
            "customers of its own. Both met the same ones: take the difference in each draw.": (
                second - first,
                each[0, 1] - each[1, 0],
                each[1, 1] - each[0, 0],
            ),
            "That is the new model alone, not the difference.": (second, each[0, 1], each[1, 1]),
            "That is the old model alone, not the difference.": (first, each[0, 0], each[1, 0]),
            "That is old minus new: take it the other way round.": (first - second, -high, -low),
        },
    )


def _counts(known: Facts) -> pl.DataFrame:
    """Frauds, found frauds and alerts by channel."""
    alert = pl.col("new") >= known.threshold
    return (
        known.labelled.group_by("channel")
        .agg(
            pl.col("is_fraud").sum().alias("frauds"),
            (alert & pl.col("is_fraud")).sum().alias("found"),
            alert.sum().alias("alerts"),
            pl.len().alias("rows"),
        )
        .sort("channel")
        .with_columns(
            pl.all().exclude("channel").cast(pl.Float64),
        )
    )


def _table(counts: pl.DataFrame, share: str, of: str, interval: Any = wilson) -> pl.DataFrame:
    ends = [interval(row[share], row[of]) for row in counts.iter_rows(named=True)]
    return counts.select(
        "channel",
        (pl.col(share) / pl.col(of)).alias("recall"),
        pl.Series("recall_low", [low for low, _ in ends]),
        pl.Series("recall_high", [high for _, high in ends]),
    )


def _by_channel(known: Facts) -> Table:
    counts = _counts(known)
    right = _table(counts, "found", "frauds")
    return Table(
        right,
        "channel",
        ("recall", "recall_low", "recall_high"),
        "for each channel the share of its frauds that the new model finds, with its Wilson "
        "interval",
        shares=("recall", "recall_low", "recall_high"),
        mistakes={
            "That is precision: of the alerts, how many were fraud. Recall asks of the frauds, how "
            "many were found.": _table(counts, "found", "alerts"),
            "That is the share of payments that are alerts. Look at the frauds only.": _table(
                counts, "alerts", "rows"
            ),
            "The recall is right; the interval is the one by the normal distribution, which fails "
            "for few frauds. Take Wilson's.": _table(counts, "found", "frauds", wald),
        },
    )


def _newcombe(best: dict[str, float], worst: dict[str, float]) -> tuple[float, float, float]:
    """Difference of two shares, and its interval from their Wilson intervals."""
    shares = [one["found"] / one["frauds"] for one in (best, worst)]
    (low1, high1), (low2, high2) = (wilson(one["found"], one["frauds"]) for one in (best, worst))
    apart = shares[0] - shares[1]
    below = float(np.hypot(shares[0] - low1, high2 - shares[1]))
    above = float(np.hypot(high1 - shares[0], shares[1] - low2))
    return apart, apart - below, apart + above


def _worst(known: Facts) -> Numbers:
    rows = [*_counts(known).iter_rows(named=True)]
    ranked = sorted((row for row in rows if row["frauds"]), key=lambda r: r["found"] / r["frauds"])
    enough = [row for row in ranked if row["frauds"] >= _FEW]
    best, worst = enough[-1], enough[0]
    difference, low, high = _newcombe(best, worst)
    (low1, high1), (low2, high2) = (wilson(one["found"], one["frauds"]) for one in (best, worst))
    asks = (
        "best minus worst recall among channels of at least 10 frauds, and its interval "
        "(Newcombe's)"
    )
    return Numbers(
        {
            "difference": Number(difference, asks),
            "low": Number(low, asks),
            "high": Number(high, asks),
        },
        asks,
        {
            "That is worst minus best: take it the other way round.": (-difference, -high, -low),
            "The difference is right. Its interval is not from one interval's end to the other's: "
            "both ends at once are less likely than that.": (
                difference,
                low1 - high2,
                high1 - low2,
            ),
            "That compares a channel with all channels together. Compare the two channels.": (
                _newcombe(
                    best,
                    {name: sum(row[name] for row in rows) for name in ("found", "frauds")},
                )
            ),
        },
    )


LESSON = Lesson(
    "06",
    "comparing_models_and_groups",
    facts,
    handed_out,
    (
        Exercise(
            "06.1",
            "better_by",
            (
                "Evaluate the same payments twice, with another column of scores.",
                "average_precision is an attribute of what evaluate returns.",
                'evaluate(payments, score="new").average_precision, minus that of the old one.',
            ),
            _difference,
        ),
        Exercise(
            "06.2",
            "interval",
            (
                "Had other customers come, would the new model still be ahead? Draw customers "
                "again and again, and compare the models in each draw.",
                'compare_models(payments, {"old": "old", "new": "new"}) does that; the first model '
                "is the one that the other is compared with.",
                "Its frame() has difference, difference_low and difference_high, in the row of "
                "average precision and the new model.",
            ),
            _interval,
        ),
        Exercise(
            "06.3",
            "recall_by_channel",
            (
                "Recall: of the frauds of a channel, how many reach the threshold?",
                'evaluate(…, threshold=threshold, by="channel").to_frame() has a row for each '
                "channel and metric.",
                'Keep the rows whose metric is "recall", and call its columns recall, recall_low '
                "and recall_high.",
            ),
            _by_channel,
        ),
        Exercise(
            "06.4",
            "gap",
            (
                "Leave channels with fewer than 10 frauds out: there it is mostly chance.",
                "The recall of two channels are two independent shares; the interval of their "
                "difference is Newcombe's.",
                'What evaluate gives by channel knows difference("recall").',
            ),
            _worst,
        ),
    ),
)
