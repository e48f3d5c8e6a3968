"""The result of evaluating rules."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from synfin_analytics._core.formatting import (
    format_amount,
    format_number,
    format_percent,
    format_percent_interval,
    join_words,
    pluralize,
)
from synfin_analytics._core.html import table_html
from synfin_analytics._core.output import from_polars
from synfin_analytics._core.results import Result, to_plain
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics._clusters import MIN_RELIABLE
from synfin_analytics.rules._comparison import compare_rules
from synfin_analytics.rules._plots import RulePlots
from synfin_analytics.rules._statistics import Statistics

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    import polars as pl

    from synfin_analytics._core.output import Output
    from synfin_analytics.rules._counts import RuleCounts
    from synfin_analytics.rules._statistics import Settings

_TABLES = ("rules", "overlap", "combinations", "greedy", "dominated", "by_period")
#: Rules that a sentence names; of more it gives the number.
_MAX_NAMES = 5


@dataclass(frozen=True, eq=False, repr=False)
class RuleEvaluation(Result):
    """Rules evaluated on the same transactions; :func:`evaluate_rules` returns it.

    All frames are of the kind of the transactions: pandas (also for Dask and PySpark), polars, or
    pyarrow (also for DuckDB). :meth:`to_frame` returns :attr:`rules`.

    Attributes
    ----------
    names
        Rules that could be evaluated, in the given order.
    failed
        Why other rules could not be evaluated, by name.
    label, amount, timestamp, clusters
        Columns of the transactions; None without amounts or times.
    as_of
        When the labels were known; None for all labels.
    n_transactions, n_labelled, n_frauds
        Transactions, those with a label, and frauds among them.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame(
    ...     {
    ...         "is_fraud": [True, True, False, False, False, None],
    ...         "amount": [900.0, 40.0, 700.0, 20.0, 10.0, 30.0],
    ...         "high": [True, False, True, False, False, False],
    ...         "abroad": [True, True, False, False, False, True],
    ...     }
    ... )
    >>> from synfin_analytics import evaluate_rules
    >>> evaluation = evaluate_rules(df, ["high", "abroad"], cost_per_alert=10)
    >>> evaluation
    RuleEvaluation(2 rules, 4 alerts, 2 of 2 frauds)
    >>> evaluation.rules.select("rule", "alerts", "frauds", "net_benefit", "lost_frauds").rows()
    [('high', 2, 1, 880.0, 0), ('abroad', 3, 2, 910.0, 1)]
    """

    names: tuple[str, ...]
    failed: dict[str, str]
    label: str
    amount: str | None
    timestamp: str | None
    clusters: tuple[str, ...]
    as_of: dt.datetime | None
    _counts: RuleCounts
    _settings: Settings
    _output: Output
    _notes: tuple[str, ...] = field(default=())

    @functools.cached_property
    def _statistics(self) -> Statistics:
        return Statistics(self.names, self._counts, self._settings)

    @functools.cached_property
    def _tables(self) -> dict[str, pl.DataFrame]:
        return {}

    def _polars(self, name: str) -> pl.DataFrame:
        """Return a table, computed once."""
        if name not in self._tables:
            method = {"combinations": "combination_table"}.get(name, name)
            self._tables[name] = getattr(self._statistics, method)()
        return self._tables[name]

    def _native(self, frame: pl.DataFrame) -> Any:
        return from_polars(frame, self._output)

    @property
    def n_transactions(self) -> int:
        """Number of transactions."""
        return int(self._statistics.totals["transactions"])

    @property
    def n_labelled(self) -> int:
        """Number of transactions with a label."""
        return int(self._statistics.totals["labelled"])

    @property
    def n_frauds(self) -> int:
        """Number of frauds."""
        return int(self._statistics.totals["frauds"])

    @property
    def cost_per_alert(self) -> float:
        """Cost of an alert."""
        return self._settings.cost_per_alert

    @property
    def recovery_rate(self) -> float:
        """Share of a caught fraud's value that is not lost."""
        return self._settings.recovery_rate

    @property
    def confidence_level(self) -> float:
        """Confidence of the intervals."""
        return self._settings.confidence_level

    @property
    def rules(self) -> Any:
        """Each rule, in the given order.

        - ``rule``; ``alerts``, transactions on which it fires; ``alerts_per_day``, of the days that
          have transactions (NaN without times); ``labelled`` alerts, and ``frauds`` among them;
        - ``precision`` = frauds / labelled, and ``recall`` = frauds / all frauds, each with its
          interval (``_low``, ``_high``); ``false_positive_ratio``, false alerts for each fraud
          caught (NaN if there is none);
        - ``amount`` of all alerts; ``value_caught``, that of the frauds; its share
          ``value_detection_rate`` of the value of all frauds; ``net_benefit``, the value caught
          times the recovery rate, less the cost of all alerts (NaN without amounts);
        - ``fraud_clusters`` that the frauds come from;
        - what the set would lose without the rule: ``lost_frauds``, ``lost_value`` and
          ``lost_net_benefit``, over ``alerts_only_here``, on which no other rule fires;
        - ``error_rows``, on which it could not be computed and does not fire.
        """
        return self._native(self._polars("rules"))

    @property
    def overall(self) -> Any:
        """All rules as one that fires where any of them does: one row with the same measures."""
        return self._native(self._polars("overall"))

    @property
    def overlap(self) -> Any:
        """Each rule and each other one.

        ``rule``, ``other``, ``alerts_both`` and ``frauds_both`` of the transactions on which both
        fire; ``jaccard``, the share of these in the alerts of either; ``share_of_rule``, their
        share in the alerts of ``rule``.
        """
        return self._native(self._polars("overlap"))

    @property
    def combinations(self) -> Any:
        """Each set of rules that fire together, and no other, the one with most alerts first.

        ``rules`` (joined with " & "), ``n_rules``, ``alerts``, ``frauds``, ``amount`` and
        ``value_caught``.
        """
        return self._native(self._polars("combinations"))

    @property
    def greedy(self) -> Any:
        """The rules in the order in which each adds most net benefit to those before it.

        ``position`` from 1, ``rule``; what it adds: ``gained_alerts``, ``gained_frauds`` and
        ``gained_net_benefit``; and ``alerts``, ``frauds``, ``precision``, ``recall`` and
        ``net_benefit`` of the rules so far. Where no rule adds any net benefit, the order ends:
        each of the others has no position, and gains are what it would add to the chosen ones.
        """
        return self._native(self._polars("greedy"))

    @property
    def by_period(self) -> Any:
        """Each rule in each period, to see it decay; no rows without times.

        ``period``, its first moment in UTC; ``rule``, ``alerts``, ``frauds``, ``labelled`` alerts,
        ``precision`` with its interval, ``recall`` and ``net_benefit``.
        """
        return self._native(self._polars("by_period"))

    @property
    def dominated(self) -> Any:
        """Rules that another makes redundant: ``rule`` and ``by``.

        The other one catches all frauds of the rule with no more false alerts. Of rules that catch
        the same frauds with as many false alerts, the first dominates.
        """
        return self._native(self._polars("dominated"))

    @functools.cached_property
    def never_fired(self) -> tuple[str, ...]:
        """Rules without an alert."""
        return self._statistics.never_fired()

    def _number(self, rule: str, name: str) -> int:
        if rule not in self.names:
            if rule in self.failed:
                raise ArgumentError(
                    f"`{name}` must be a rule that was evaluated; {rule!r} was not. "
                    f"{self.failed[rule]}"
                )
            raise NotFoundError("rule", str(rule), self.names)
        return self.names.index(rule)

    def compare(self, old: str, new: str) -> Any:
        """Compare a changed rule with its former version on the same transactions.

        Parameters
        ----------
        old, new
            Names of two of the rules.

        Returns
        -------
        DataFrame
            ``measure`` (precision, recall, alerts, net_benefit); its values ``old`` and ``new``,
            their ``difference`` and its interval (``difference_low``, ``difference_high``);
            ``n_clusters`` in which the rules differ; and a ``note``, why an interval is missing or
            rough.

        Raises
        ------
        NotFoundError
            There is no such rule.

        Notes
        -----
        The interval accounts for both rules being evaluated on the same transactions, and for
        clusters. Differences of precisions and totals are linearised (Woodruff, 1971; Binder,
        1983); that of recalls is the interval of Bonett and Price (2012) for paired proportions,
        computed on effective numbers of frauds. The interval of a difference of totals is for the
        same time with other clusters.

        Examples
        --------
        >>> import polars as pl
        >>> from synfin_analytics import evaluate_rules
        >>> df = pl.DataFrame(
        ...     {
        ...         "is_fraud": [True, True, False, False] * 10,
        ...         "amount": [900.0, 400.0, 600.0, 20.0] * 10,
        ...     }
        ... )
        >>> rules = {"old": pl.col("amount") > 500, "new": pl.col("amount") > 300}
        >>> comparison = evaluate_rules(df, rules).compare("old", "new")
        >>> comparison.filter(measure="recall").select("old", "new", "difference").row(0)
        (0.5, 1.0, 0.5)
        """
        numbers = self._number(old, "old"), self._number(new, "new")
        return self._native(compare_rules(self._counts, self._settings, *numbers))

    def beside(self, rule: str) -> Any:
        """Return what each other rule finds that this one does not, such as that of a model.

        Parameters
        ----------
        rule
            Name of a rule, such as a model's score at a threshold.

        Returns
        -------
        DataFrame
            A row for each other rule, named in the column ``rule``: alerts, frauds and their value
            (``alerts_``, ``frauds_``, ``value_``) where both fire (``both``), where the rule of
            the row fires alone (``only_rule``), and where the given one does (``only_other``).

        Raises
        ------
        NotFoundError
            There is no such rule.

        Examples
        --------
        >>> import polars as pl
        >>> from synfin_analytics import evaluate_rules
        >>> df = pl.DataFrame(
        ...     {
        ...         "is_fraud": [True, True, True, False],
        ...         "score": [0.9, 0.8, 0.1, 0.2],
        ...         "night": [True, False, True, False],
        ...     }
        ... )
        >>> evaluation = evaluate_rules(df, {"night": "night", "model": pl.col("score") >= 0.5})
        >>> beside = evaluation.beside("model")
        >>> beside.select("rule", "frauds_both", "frauds_only_rule", "frauds_only_other").rows()
        [('night', 1, 1, 1)]
        """
        return self._native(self._statistics.beside(self._number(rule, "rule")))

    # -- In words ----

    @functools.cached_property
    def findings(self) -> tuple[str, ...]:
        """Main results, as sentences."""
        rules, overall = self._polars("rules"), self._polars("overall").row(0, named=True)
        sentences = [
            f"{pluralize(len(self.names), 'rule')} fired on {overall['alerts']:,} of "
            f"{pluralize(self.n_transactions, 'transaction')} and caught {overall['frauds']:,} of "
            f"{pluralize(self.n_frauds, 'fraud')}"
            + (
                f": precision {_share(overall, 'precision')}, recall {_share(overall, 'recall')}."
                if overall["labelled"] and self.n_frauds
                else "."
            )
        ]
        if self.amount is not None:
            greedy = self._polars("greedy")
            chosen = greedy.drop_nulls("position")
            if chosen.height:
                sentences.append(
                    f"The highest net benefit of the greedy order, "
                    f"{format_amount(chosen['net_benefit'][-1])}, takes "
                    f"{chosen.height} of {pluralize(len(self.names), 'rule')}: "
                    f"{_list_names(chosen['rule'].to_list())}."
                )
            else:
                sentences.append("No rule catches more value than its alerts cost.")
        redundant = rules.filter(alerts=0).height
        lost = rules.filter((rules["alerts"] > 0) & (rules["lost_frauds"] == 0))["rule"].to_list()
        if lost and len(self.names) > 1 and self.n_frauds:
            sentences.append(f"Without frauds of their own: {_list_names(lost)}.")
        if redundant:
            sentences.append(f"Never fired: {_list_names(list(self.never_fired))}.")
        dominated = list(dict.fromkeys(self._polars("dominated")["rule"].to_list()))
        if dominated:
            sentences.append(
                f"Another rule catches the same frauds with no more false alerts: "
                f"{_list_names(dominated)}."
            )
        return tuple(sentences)

    @functools.cached_property
    def caveats(self) -> tuple[str, ...]:
        """What limits the result, as sentences."""
        sentences = [
            f"Rule {name!r} was not evaluated. {reason}" for name, reason in self.failed.items()
        ]
        sentences += self._notes
        counts, rules = self._counts, self._polars("rules")
        for name, errors, missing in zip(self.names, counts.errors, counts.missing, strict=True):
            if errors:
                sentences.append(
                    f"Rule {name!r} could not be computed on {pluralize(int(errors), 'row')} (such "
                    "as a division by zero); it does not fire there."
                )
            if missing:
                sentences.append(
                    f"The column of rule {name!r} is missing in {pluralize(int(missing), 'row')}; "
                    "it does not fire there."
                )
        overall = self._polars("overall").row(0, named=True)
        unlabelled = overall["alerts"] - overall["labelled"]
        if not self.n_transactions:
            sentences.append("There are no transactions.")
        elif not self.n_labelled:
            sentences.append("No transaction has a label: precision and recall are undefined.")
        elif not self.n_frauds:
            sentences.append("No transaction is a fraud: recall is undefined.")
        if unlabelled:
            sentences.append(
                f"{pluralize(unlabelled, 'alert')} without a label: they count as alerts and have "
                "their cost, but are left out of precision."
            )
        rough = [
            row["rule"]
            for row in rules.iter_rows(named=True)
            if row["labelled"] and row["fraud_clusters"] < MIN_RELIABLE
        ]
        if rough and self.n_frauds:
            sentences.append(
                f"The frauds that a rule catches come from fewer than {MIN_RELIABLE} clusters, so "
                f"that its intervals are rough: {_list_names(rough)}."
            )
        if not self.clusters and self.n_transactions:
            sentences.append(
                "The transactions are taken as independent, without clusters such as customers: "
                "intervals are likely too narrow."
            )
        return tuple(sentences)

    # -- As a result ----

    @property
    def plot(self) -> RulePlots:
        """Plots of this result, such as ``evaluation.plot.overlap()``."""
        return RulePlots(self)

    def _table(self) -> pl.DataFrame:
        return self._polars("rules").clone()

    def _record(self) -> Mapping[str, Any]:
        frames = {name: self._polars(name).to_dicts() for name in _TABLES}
        record: dict[str, Any] = to_plain(
            {
                "n_transactions": self.n_transactions,
                "n_labelled": self.n_labelled,
                "n_frauds": self.n_frauds,
                "cost_per_alert": self.cost_per_alert,
                "recovery_rate": self.recovery_rate,
                "confidence_level": self.confidence_level,
                "as_of": self.as_of,
                "overall": self._polars("overall").row(0, named=True),
                **frames,
                "never_fired": self.never_fired,
                "failed": self.failed,
                "findings": self.findings,
                "caveats": self.caveats,
            }
        )
        return record

    def __repr__(self) -> str:
        overall = self._polars("overall").row(0, named=True)
        failed = f", {len(self.failed)} not evaluated" if self.failed else ""
        return (
            f"RuleEvaluation({pluralize(len(self.names), 'rule')}{failed}, "
            f"{pluralize(overall['alerts'], 'alert')}, {overall['frauds']:,} of "
            f"{pluralize(self.n_frauds, 'fraud')})"
        )

    def _repr_html_(self) -> str:
        head = (
            "rule", "alerts", "frauds", "precision", "recall", "value caught", "net benefit",
            "lost frauds", "lost net benefit",
        )  # fmt: skip
        overall = {"rule": "any rule", "lost_frauds": None, "lost_net_benefit": None}
        overall |= self._polars("overall").row(0, named=True)
        rows = [
            (
                row["rule"],
                format_number(row["alerts"]),
                format_number(row["frauds"]),
                _share(row, "precision"),
                _share(row, "recall"),
                format_amount(row["value_caught"]),
                format_amount(row["net_benefit"]),
                "" if row["lost_frauds"] is None else format_number(row["lost_frauds"]),
                "" if row["lost_net_benefit"] is None else format_amount(row["lost_net_benefit"]),
            )
            for row in [*self._polars("rules").iter_rows(named=True), overall]
        ]
        html = table_html(head, rows, caption="Rules")
        notes = [(sentence,) for sentence in (*self.findings, *self.caveats)]
        return html + table_html(("notes",), notes, row_headers=False)


def _share(row: Mapping[str, Any], name: str) -> str:
    """Return a share with its interval."""
    if not np.isfinite(row[name]):
        return format_percent(row[name])
    interval = format_percent_interval(row[f"{name}_low"], row[f"{name}_high"])
    return f"{format_percent(row[name])} ({interval})"


def _list_names(names: list[str]) -> str:
    if len(names) <= _MAX_NAMES:
        return join_words(names)
    return f"{', '.join(names[:_MAX_NAMES])} and {len(names) - _MAX_NAMES} more"
