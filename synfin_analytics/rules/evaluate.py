"""Evaluation of rules on transactions of any engine."""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals as nw

from synfin_analytics._core.arguments import check_column_name
from synfin_analytics._core.dataframes import (
    check_columns,
    check_n_invalid_labels,
    column_names,
    open_frame,
    rename_for_engine,
    to_numpy_float,
)
from synfin_analytics._core.dates import Period
from synfin_analytics._core.formatting import pluralize
from synfin_analytics.exceptions import ArgumentError, SynfinError
from synfin_analytics.metrics._aggregate import aggregate_counts, check_amounts
from synfin_analytics.metrics._clusters import Clusters
from synfin_analytics.metrics._known import KnownLabels
from synfin_analytics.metrics.curve import check_costs
from synfin_analytics.metrics.proportions import check_interval
from synfin_analytics.rules._counts import (
    INFINITE,
    INVALID_LABEL,
    Columns,
    RuleCounts,
    select_cells,
    time_unit,
)
from synfin_analytics.rules._sources import ColumnRule, find_failing, parse_rules, prepare_rules
from synfin_analytics.rules._statistics import Settings
from synfin_analytics.rules.result import RuleEvaluation

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from narwhals.typing import IntoFrame

    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.output import Output
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics.metrics.proportions import IntervalMethod
    from synfin_analytics.rules._sources import RuleSource

#: Rules: conditions by name, pairs of both, or names of boolean columns.
Rules: TypeAlias = "Mapping[str, Any] | Sequence[tuple[str, Any]] | Sequence[str]"
_CALLER = "evaluate_rules"
_TIMESTAMP, _AMOUNT = "timestamp", "amount"


def evaluate_rules(
    df: IntoFrame | TransactionSource,
    rules: Rules,
    *,
    label: str = "is_fraud",
    amount: str | None = "amount",
    timestamp: str | None = "timestamp",
    cluster: str | Sequence[str] | None = "auto",
    every: str = "1w",
    cost_per_alert: float = 5.0,
    recovery_rate: float = 1.0,
    interval_method: IntervalMethod = "wilson",
    confidence_level: float = 0.95,
    as_of: Bound = None,
    label_available_at: str = "label_available_at",
) -> RuleEvaluation:
    """Evaluate rules: what each catches, what it costs, and what it adds to the others.

    Parameters
    ----------
    df
        Transactions, one a row: pandas, polars (eager or lazy), pyarrow, DuckDB, Dask or PySpark.
        The rows are read once; a lazy or distributed engine counts for itself.
    rules
        A dict of conditions by name, or pairs of name and condition, or names of boolean columns.
        A condition is a SQL condition with PostgreSQL's rules, such as ``"amount > 500 AND
        is_online"``; the name of a boolean column (or one of 0 and 1); an expression of narwhals,
        or of the frame's own engine (polars, DuckDB, PySpark); or a boolean series of the same rows
        in memory. An expression computes each row from that row alone. A rule does not fire where
        its condition is NULL. A model is one more rule, such as ``"score >= 0.9"``.
    label, amount, timestamp
        Column names. The label is true or false, 1 or 0, or missing. A missing amount counts as 0.
        Without amounts (None, or no column ``amount``) there is no net benefit; without times,
        no alerts per day and no periods.
    cluster
        Column, or two columns, of what makes transactions dependent, as for
        :func:`synfin_analytics.fraud_rate`; by default customers and merchants.
    every
        Length of the periods of ``by_period``: a whole number and m, h, d, w (from Monday), mo, q
        or y, in UTC.
    cost_per_alert, recovery_rate
        Cost of an alert in the currency of the amounts, and the share of a caught fraud's value
        that is not lost.
    interval_method, confidence_level
        Intervals of precision and recall, see :func:`synfin_analytics.proportion_interval`.
    as_of, label_available_at
        Evaluate the rules with the labels that were known at this date or time, as for
        :func:`synfin_analytics.fraud_rate`; transactions from then on are left out.

    Returns
    -------
    RuleEvaluation
        A rule that cannot be evaluated is in ``failed``, with the reason; the others are evaluated.

    Raises
    ------
    NotFoundError
        A column is not in the frame; the message suggests the nearest name.
    ArgumentError
        A label is neither 0 nor 1, an amount is not finite, a timestamp not a time; there are no
        rules, or none that can be evaluated; ``as_of`` is not a date or time, or the frame has no
        ``label_available_at``; or an argument is out of range.

    Notes
    -----
    Net benefit = ``recovery_rate`` · value of the frauds caught - ``cost_per_alert`` · alerts.
    Alerts without a label have a cost, but are left out of precision.

    Examples
    --------
    >>> import pandas as pd
    >>> df = pd.DataFrame(
    ...     {
    ...         "is_fraud": [True, True, False, False, False],
    ...         "amount": [900.0, 40.0, 700.0, 20.0, 10.0],
    ...         "abroad": [True, True, False, False, True],
    ...     }
    ... )
    >>> rules = {"high": "amount > 500", "abroad": "abroad"}
    >>> evaluation = evaluate_rules(df, rules, cost_per_alert=10)
    >>> evaluation.greedy[["position", "rule", "gained_frauds", "gained_net_benefit"]]
       position    rule  gained_frauds  gained_net_benefit
    0         1  abroad              2               910.0
    1      <NA>    high              0               -10.0
    >>> evaluation.findings[1]
    'The highest net benefit of the greedy order, 910, takes 1 of 2 rules: abroad.'
    """
    check_interval(interval_method, confidence_level)
    check_column_name(label, "label")
    costs = check_costs(cost_per_alert, recovery_rate)
    settings = Settings(*costs, Period.parse(every), interval_method, confidence_level)
    conditions, duplicates = parse_rules(rules)
    available = column_names(df, _CALLER)
    notes: list[str] = []
    if amount == _AMOUNT and amount not in available:
        amount = None
        notes.append("There is no column 'amount': values and net benefit are left out.")
    if timestamp == _TIMESTAMP and timestamp not in available and as_of is None:
        timestamp = None
        notes.append("There is no column 'timestamp': alerts per day and periods are left out.")
    for value, name in ((amount, "amount"), (timestamp, "timestamp")):
        if value is not None:
            check_column_name(value, name)
    clusters = Clusters.parse(cluster, [], available)
    known = None
    if as_of is not None:
        known = KnownLabels.parse(
            as_of, df, label, timestamp or _TIMESTAMP, label_available_at, _CALLER
        )
    columns = Columns(label, amount, timestamp, clusters, time_unit(settings.every), known)
    check_columns(columns.names, available)

    prepared = prepare_rules(df, conditions, _CALLER)
    failed = {**duplicates, **prepared.failed}
    counts, failing = _count(prepared.df, prepared.sources, columns)
    failed |= failing
    sources = [source for source in prepared.sources if source.name not in failing]
    return evaluation_from_counts(
        counts,
        sources,
        failed,
        rules=rules,
        columns=columns,
        settings=settings,
        as_of=None if known is None else known.as_of,
        output=_output_kind(df),
        notes=notes,
    )


def evaluation_from_counts(
    counts: RuleCounts,
    sources: Sequence[RuleSource],
    failed: Mapping[str, str],
    *,
    rules: Rules,
    columns: Columns,
    settings: Settings,
    as_of: dt.datetime | None,
    output: Output,
    notes: Sequence[str],
) -> RuleEvaluation:
    """Evaluate rules from their counts.

    Parameters
    ----------
    counts
        The counts of all ``sources``.
    sources
        The rules.
    failed
        Why others cannot be evaluated, by name.
    rules
        The rules of the caller, for their order.
    columns, settings, as_of
        The columns that were counted, what rules are evaluated with, and when labels were known.
    output
        Kind of DataFrame of the results.
    notes
        Sentences for the caveats.

    Raises
    ------
    ArgumentError
        No rule can be evaluated.
    """
    failed, notes = dict(failed), list(notes)
    invalid = [
        number
        for number, source in enumerate(sources)
        if isinstance(source, ColumnRule) and counts.errors[number]
    ]
    for number in invalid:
        source = sources[number]
        rows = pluralize(int(counts.errors[number]), "row")
        failed[source.name] = (
            f"Its column {source.columns[0]!r} must be true or false, 1 or 0, or missing; {rows} "
            f"{'holds' if counts.errors[number] == 1 else 'hold'} another value."
        )
    kept = [number for number in range(len(sources)) if number not in invalid]
    notes += [
        f"Rule {sources[number].name!r} uses the label {columns.label!r}, which is not known when "
        "a transaction arrives."
        for number in kept
        if columns.label in sources[number].columns
    ]
    if as_of is not None:
        notes.append(f"Labels and transactions are those known at {as_of:%Y-%m-%d %H:%M} UTC.")
    if not kept:
        raise none_left(failed)
    if invalid:
        counts = counts.keep(kept)
    return RuleEvaluation(
        names=tuple(sources[number].name for number in kept),
        failed={name: failed[name] for name in in_order(rules, failed)},
        label=columns.label,
        amount=columns.amount,
        timestamp=columns.timestamp,
        clusters=columns.clusters.columns,
        as_of=as_of,
        _counts=counts,
        _settings=settings,
        _output=output,
        _notes=tuple(notes),
    )


def _count(
    df: Any, sources: list[RuleSource], columns: Columns
) -> tuple[RuleCounts, dict[str, str]]:
    """Count all rules in one pass; without those that raise an error, if there are some."""
    if not sources:
        return _aggregate(df, [], columns), {}
    try:
        return _aggregate(df, sources, columns), {}
    except MemoryError:
        raise
    except Exception as error:
        failing = find_failing(df, sources, _CALLER)
        if not failing:
            raise
        left = [source for source in sources if source.name not in failing]
        if not left:
            raise none_left(failing) from (error if isinstance(error, SynfinError) else None)
        return _aggregate(df, left, columns), failing


def _aggregate(df: Any, sources: list[RuleSource], columns: Columns) -> RuleCounts:
    names = [*columns.names, *(name for source in sources for name in source.columns)]
    df, renamed = rename_for_engine(df, names, _CALLER)
    sources_there = [
        ColumnRule(source.name, renamed[source.column], source.computed)
        if isinstance(source, ColumnRule)
        else source
        for source in sources
    ]
    with warnings.catch_warnings():
        # pandas warns of as many columns as a hundred rules have.
        warnings.filterwarnings("ignore", "DataFrame is highly fragmented")
        cells = aggregate_counts(
            df,
            [renamed[name] for name in names],
            columns.keys(len(sources)),
            functools.partial(
                select_cells, rules=tuple(sources_there), columns=columns.rename(renamed)
            ),
            caller=_CALLER,
        )
    check_n_invalid_labels(int(to_numpy_float(cells[INVALID_LABEL]).sum()), columns.label)
    if columns.amount is not None:
        infinite = int(to_numpy_float(cells[INFINITE]).sum())
        check_amounts(columns.amount, infinite, to_numpy_float(cells["amount"]))
    return RuleCounts.from_cells(cells, len(sources), columns.clusters, columns.unit)


def none_left(failed: Mapping[str, str]) -> ArgumentError:
    """Return the error if no rule can be evaluated; the first reasons are enough."""
    reasons = [f"{name!r}: {reason}" for name, reason in list(failed.items())[:3]]
    return ArgumentError(f"None of the rules can be evaluated. {' '.join(reasons)}")


def in_order(rules: Any, failed: Mapping[str, str]) -> list[str]:
    """Return the names of failed rules in the order of the caller."""
    pairs = rules.items() if hasattr(rules, "items") else rules
    names = [rule if isinstance(rule, str) else rule[0] for rule in pairs]
    return [name for name in dict.fromkeys(names) if name in failed]


def _output_kind(df: Any) -> Output:
    """Return the kind of DataFrame of the results."""
    if nw.dependencies.is_dask_dataframe(df):
        return "pandas"
    implementation = open_frame(df, _CALLER).implementation
    if implementation.is_polars():
        return "polars"
    if implementation.is_pyarrow() or implementation.is_duckdb():
        return "arrow"
    return "pandas"
