"""One page about transactions: how much fraud, where, when, and how well a model finds it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import narwhals as nw

from synfin_analytics import wording
from synfin_analytics.metrics.proportions import proportion_interval
from synfin_analytics.reports.pictures import fraud_rate_image, image_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from narwhals.typing import IntoDataFrame

    from synfin_analytics.metrics.confusion import Confusion

#: The rates of a model that are told, and what each is a share of.
MODEL_RATES = {
    "precision": "alarms were fraud",
    "recall": "frauds were found",
    "false_positive_rate": "genuine payments raised an alarm",
    "accuracy": "payments were judged rightly",
}


@dataclass(frozen=True)
class ModelFacts:
    """What is told of a model.

    Attributes
    ----------
    name, version
        As they are stored with its predictions.
    confusion
        Over the predictions of which the truth is known.
    without_ground_truth
        How many predictions are left out, because it is not.
    origin
        Sentences: what the model is, what it learnt from, how its threshold was chosen.
    """

    name: str
    version: str
    confusion: Confusion
    without_ground_truth: int = 0
    origin: tuple[str, ...] = ()

    def rates(self) -> Iterator[tuple[str, str, str, str]]:
        """Name, value, interval and meaning of each rate."""
        for rate, meaning in MODEL_RATES.items():
            part, whole = self.confusion.counts(rate)
            yield (
                rate.replace("_", " "),
                wording.percent(getattr(self.confusion, rate)),
                wording.between(*self.confusion.interval(rate)),
                f"{part:,} of {whole:,} {meaning}",
            )

    def in_words(self) -> list[str]:
        """Sentences about what it found, and what that is worth."""
        found = self.confusion
        if not found.n:
            return ["Of no prediction the truth is known: nothing can be said of this model."]
        alarms = wording.plural(found.tp + found.fp, "alarm")
        frauds = wording.plural(found.tp + found.fn, "fraud")
        said = [
            f"It raised {alarms}, of which {found.tp:,} {_were(found.tp)} fraud: "
            f"{self._told('precision')}.",
            f"It found {found.tp:,} of {frauds}: {self._told('recall')}.",
        ]
        said.append(
            "For comparison: never raising an alarm would find no fraud, and be right for "
            f"{wording.percent(1 - found.prevalence)} of the payments. That is why accuracy "
            f"({wording.percent(found.accuracy)}) says little."
        )
        if self.without_ground_truth:
            said.append(
                f"{wording.plural(self.without_ground_truth, 'prediction')} of which the truth is "
                "not known are left out."
            )
        return said

    def _told(self, rate: str) -> str:
        """Return the rate with its interval, or why it is not defined."""
        why = self.confusion.why_undefined(rate)
        if why is not None:
            return why
        interval = wording.between(*self.confusion.interval(rate))
        return f"{rate} {wording.percent(getattr(self.confusion, rate))} (95 % interval {interval})"


@dataclass(frozen=True)
class Overview:
    """Fraud of a set of transactions at a glance; shows itself in a notebook.

    Attributes
    ----------
    source
        Where the transactions come from.
    statistics
        What :meth:`TransactionRepository.get_statistics` returns.
    first, last
        Moments of the first and the last transaction.
    rates
        Results of ``fraud_rate`` by group, each under its title.
    over_time
        Result of ``fraud_rate`` by period.
    model
        What is told of a model, or why there is none.
    currency
        Of the amounts, if it is one.
    notes
        Further sentences, as of rows that were not loaded.
    """

    source: str
    statistics: Mapping[str, Any]
    first: dt.datetime
    last: dt.datetime
    rates: Mapping[str, IntoDataFrame]
    over_time: IntoDataFrame
    model: ModelFacts | str
    currency: str = ""
    notes: tuple[str, ...] = field(default=())

    def in_words(self) -> list[str]:
        """Sentences that say the main numbers."""
        of = self.statistics
        total, labelled, frauds = of["total_count"], of["labelled_count"], of["fraud_count"]
        unit = f" {self.currency}" if self.currency else ""
        said = [
            f"{wording.plural(total, 'transaction')} from {wording.day(self.first)} to "
            f"{wording.day(self.last)}, worth {wording.number(float(of['total_amount']))}{unit}; "
            f"on average {wording.number(float(of['avg_amount']), 2)}{unit}, from "
            f"{wording.number(float(of['min_amount']), 2)} to "
            f"{wording.number(float(of['max_amount']), 2)}{unit}."
        ]
        if not labelled:
            return [*said, "None of them is labelled: their fraud rate is not known."]
        low, high = (float(end) for end in proportion_interval(frauds, labelled))
        whose = "them" if labelled == total else f"the {labelled:,} that are labelled"
        said.append(
            f"{frauds:,} of {whose} {_were(frauds)} fraud: {wording.percent(of['fraud_rate'])} "
            f"(95 % interval {wording.between(low, high)})."
        )
        return said

    def html(self) -> str:
        """Return the page: one HTML text that needs no network."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader("synfin_analytics.reports"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        template = environment.get_template("overview.html.j2")
        return template.render(
            overview=self,
            words=wording,
            tables={title: table_rows(result) for title, result in self.rates.items()},
            pictures={title: _picture(result) for title, result in self.rates.items()},
            over_time=_picture(self.over_time),
            model=self.model if isinstance(self.model, ModelFacts) else None,
            made=dt.datetime.now(dt.UTC),
        )

    def save(self, path: Path) -> Path:
        """Write the page to a file."""
        path.write_text(self.html(), encoding="utf-8")
        return path

    def _repr_html_(self) -> str:
        from html import escape

        page = escape(self.html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:40em;border:0"></iframe>'


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _picture(result: IntoDataFrame) -> str:
    # The page's own headings say what is drawn.
    return image_address(fraud_rate_image(result, "", "svg"))


def table_rows(result: IntoDataFrame) -> list[tuple[str, ...]]:
    """Rows of a fraud rate by group, as they are read.

    Each is the group, transactions, frauds, the rate, its interval, and basis points of fraud.
    """
    return [
        (
            _group(row),
            wording.number(row["transactions"]),
            wording.number(row["frauds"]),
            wording.percent(row["fraud_rate"]),
            wording.between(row["low"], row["high"]),
            wording.number(row["fraud_bps"], 1),
        )
        for row in nw.from_native(result, eager_only=True).iter_rows(named=True)
    ]


def _group(row: Mapping[str, Any]) -> str:
    """Name of the group in a row of a fraud rate: what stands before the counts."""
    names = []
    for name, value in row.items():
        if name == "transactions":
            break
        names.append("not known" if value is None else str(value) or "(empty)")
    return " · ".join(names) or "all"
