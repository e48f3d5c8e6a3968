"""The model report: performance, comparison, thresholds, calibration, groups and stability."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast, overload

from synfin_analytics._core.arguments import (
    check_column_name,
    check_integer,
    check_string,
    format_value,
)
from synfin_analytics._core.dataframes import is_frame
from synfin_analytics._core.dates import parse_range, parse_time
from synfin_analytics._core.validation.options import ReadOptions
from synfin_analytics.database.models import ModelPrediction, Transaction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._clusters import MIN_RELIABLE as MIN_CLUSTERS
from synfin_analytics.metrics.curve import check_costs
from synfin_analytics.metrics.evaluation import Threshold, check_threshold
from synfin_analytics.plots.explorer import ExplorerSettings, explorer_data
from synfin_analytics.reports import _model_caveats, _model_figures, _model_findings, _model_tables
from synfin_analytics.reports._archived import ArchivedPredictions
from synfin_analytics.reports._briefs import briefs
from synfin_analytics.reports._cached import cached_results
from synfin_analytics.reports._database import (
    StoredPredictions,
    check_model,
    compute_in_session,
    query_of_predictions,
)
from synfin_analytics.reports._estimator import LABEL, SCORE, score_rows
from synfin_analytics.reports._frame import FramePredictions
from synfin_analytics.reports._groups import MIN_FRAUDS, By, check_groupings
from synfin_analytics.reports._lazy_predictions import (
    LazyPredictions,
    NeedsMemory,
    check_lazy_scores,
)
from synfin_analytics.reports._lazy_rows import closing_rows, open_lazy_rows
from synfin_analytics.reports._loaded import group_columns
from synfin_analytics.reports._page import Finding, Report, versions_table
from synfin_analytics.reports._reading import read_rows
from synfin_analytics.reports._results import ModelResults, Settings, compute_model
from synfin_analytics.reports._rows import Roles
from synfin_analytics.reports._verdict import concerns, headlines
from synfin_analytics.reports.provenance import Provenance, format_bound
from synfin_analytics.repositories._cached import PERSONAL_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from narwhals.typing import IntoFrame
    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.transaction_source import TransactionSource
    from synfin_analytics._core.types import ArrayLike
    from synfin_analytics.metrics._weights import Weight
    from synfin_analytics.reports._lazy_rows import LazyRows
    from synfin_analytics.reports._rows import Rows
    from synfin_analytics.reports._sources import ModelSource


@dataclass(frozen=True, eq=False, repr=False)
class ModelReport(ModelResults, Report):
    """Report on a model, created by :func:`model_report`; it displays itself in a notebook.

    Attributes
    ----------
    name, version
        The model.
    data
        What the report is computed from: period, counts, labels and their delay.
    evaluation
        All metrics, at the threshold in use.
    bootstraps
        Their bootstrap intervals, by metric.
    comparison
        Comparison with another model on the transactions that both scored; or the reason why
        there is none; or None.
    thresholds
        A row for each threshold of interest: ``threshold``, ``criterion``, ``alerts``,
        ``alerts_per_day``, ``precision``, ``recall``, ``false_positive_rate``, ``cost`` (the sum of
        ``alert_cost``, ``missed_amount`` and ``unrecovered_amount``), ``saved``, and whether it was
        chosen ``in_sample``: on the transactions of this report. Costs are NaN where there are no
        amounts, or amounts in several currencies.
    cards, cards_interval
        Card precision@k, and its interval from resampling cards; None if times or cards are not
        known.
    groups
        Evaluation by group, for each grouping.
    gaps
        For each grouping, the differences and ratios between groups that are not small: a row for
        ``recall``, ``false_positive_rate`` and ``alert_rate`` with the lowest and the highest
        group, ``difference`` and ``ratio``, each with its bootstrap interval.
    nowcast
        Known and estimated final fraud rates of the predictions by week; see
        :func:`synfin_analytics.nowcast_fraud_rate`. The reason, if there are too few weeks or
        frauds or a time is wrong; None if no label has a time, or without weeks.
    weeks
        Scores and frauds by week; no row if times are not known.
    drift
        Drift of the scores from the first to the second half of the period; None if times are not
        known, or all within a day.
    importances
        Means of the feature importances.
    settings
        Costs, alert budget and resampling.
    omitted
        Sections that are left out, and the reason: ``"cards"``, ``"cost"``, ``"stability"``, ...
    remarks
        What was noticed about the data, as sentences; they are among the caveats too.
    knowledge
        With ``as_of``, that time (``as_of``), and how many labels (``n_labels``) and frauds
        (``n_frauds``) became known later; otherwise None.
    notes
        Sentences of the caller, as on how the model was trained.
    provenance, created_at
        How to reproduce the report, and when its numbers were computed.

    Examples
    --------
    >>> from synfin_analytics import model_report, simulate
    >>> df = simulate(30, 20, days=30).transactions.assign(p=0.01)
    >>> df.loc[df["amount"] > 400, "p"] = 0.5
    >>> report = model_report(df, label="is_fraud", score="p", n_resamples=20)
    >>> report.title, sorted(report.omitted)[:2]
    ('Model report: p', ['budget', 'cards'])
    """

    notes: tuple[str, ...]
    provenance: Provenance
    created_at: dt.datetime

    _template: ClassVar[str] = "model.html.j2"

    @property
    def title(self) -> str:
        """Title of the report."""
        return f"Model report: {self.name} {self.version}".rstrip()

    @property
    def findings(self) -> list[Finding]:
        """Sentences of the summary, each with the number that supports it."""
        return list(_model_findings.findings(self))

    @property
    def caveats(self) -> list[str]:
        """What the numbers cannot show."""
        return list(_model_caveats.caveats(self))

    def _context(self) -> Mapping[str, object]:
        return {
            "tables": _model_tables.tables(self) | {"versions": versions_table(self.provenance)},
            "figures": _model_figures.figures(self),
            "period": _model_caveats.describe_period(self),
            "data": _model_caveats.describe_data(self, self.notes),
            "importances": _model_caveats.describe_importances(self),
            "drift": _model_findings.describe_drift(self),
            "recall_by_group": _model_findings.describe_recall_by_group(self),
            "cards_interval": _model_findings.describe_cards_interval(self),
            "cost_without_alerts": _model_findings.cost_without_alerts(self),
            "briefs": briefs(self),
            "headlines": headlines(self),
            "concerns": concerns(self),
            "explorer": self._explorer_data(),
            "min_frauds": MIN_FRAUDS,
            "min_clusters": MIN_CLUSTERS,
        }

    def _explorer_data(self) -> Mapping[str, object] | None:
        """Return the numbers of the explorer of thresholds; None if nothing is labelled."""
        evaluation = self.evaluation
        if not evaluation.n:
            return None
        if not self.has_costs:
            counts = replace(evaluation.counts, amount=None, fraud_amount=None)
            evaluation = replace(evaluation, counts=counts)
        settings = ExplorerSettings(
            self.settings.cost_per_alert,
            self.settings.recovery_rate,
            self.data.n_days or None,
            self.settings.alerts_per_day if self.data.n_days else None,
            self.data.currency,
        )
        return explorer_data(evaluation, settings)


class _ModelReportFunction(Protocol):
    """The types of :func:`model_report`, for each kind of data."""

    @overload
    def __call__(
        self,
        model_name: str,
        model_version: str,
        /,
        *,
        compare_with: tuple[str, str] | None = ...,
        by: By = ...,
        start: Bound = ...,
        end: Bound = ...,
        as_of: Bound = ...,
        session: Session | None = ...,
        archive: str | Path | None = ...,
        cache: bool = ...,
        threshold: float | Threshold | None = ...,
        alerts_per_day: int = ...,
        cost_per_alert: float = ...,
        recovery_rate: float = ...,
        entity: str | None = ...,
        cluster: str | None = ...,
        n_resamples: int = ...,
        seed: int = ...,
        confidence_level: float = ...,
        notes: Sequence[str] = ...,
    ) -> ModelReport: ...
    @overload
    def __call__(
        self,
        df: IntoFrame | TransactionSource | str | Path,
        *,
        label: str,
        score: str,
        timestamp: str | None = ...,
        customer: str | None = ...,
        merchant: str | None = ...,
        amount: str | None = ...,
        currency: str | None = ...,
        weight: Weight | None = ...,
        status: str | None = ...,
        label_available_at: str | None = ...,
        pos_label: object = ...,
        name: str | None = ...,
        version: str = ...,
        compare_with: str | None = ...,
        by: By = ...,
        start: Bound = ...,
        end: Bound = ...,
        as_of: Bound = ...,
        threshold: float | Threshold | None = ...,
        alerts_per_day: int = ...,
        cost_per_alert: float = ...,
        recovery_rate: float = ...,
        entity: str | None = ...,
        cluster: str | None = ...,
        n_resamples: int = ...,
        seed: int = ...,
        confidence_level: float = ...,
        notes: Sequence[str] = ...,
        separator: str | None = ...,
        encoding: str | None = ...,
        decimal: str | None = ...,
        thousands: str | None = ...,
        date_format: str | None = ...,
        timezone: str | None = ...,
    ) -> ModelReport: ...
    def from_estimator(
        self,
        model: object,
        X: IntoFrame | ArrayLike,  # noqa: N803 - scikit-learn's name
        y: ArrayLike,
        *,
        pos_label: object = ...,
        timestamp: str | ArrayLike | None = ...,
        customer: str | ArrayLike | None = ...,
        merchant: str | ArrayLike | None = ...,
        amount: str | ArrayLike | None = ...,
        weight: Weight | ArrayLike | None = ...,
        currency: str | None = ...,
        by: By | Mapping[str, ArrayLike] = ...,
        name: str | None = ...,
        version: str = ...,
        start: Bound = ...,
        end: Bound = ...,
        threshold: float | Threshold | None = ...,
        alerts_per_day: int = ...,
        cost_per_alert: float = ...,
        recovery_rate: float = ...,
        n_resamples: int = ...,
        seed: int = ...,
        confidence_level: float = ...,
        notes: Sequence[str] = ...,
    ) -> ModelReport:
        """Report on a scikit-learn classifier."""


def _add_from_estimator(function: Callable[..., ModelReport]) -> _ModelReportFunction:
    """Make :func:`from_estimator` an attribute of :func:`model_report`."""
    function.from_estimator = from_estimator  # type: ignore[attr-defined]
    return cast("_ModelReportFunction", function)


def from_estimator(
    model: object,
    X: Any,  # noqa: N803 - scikit-learn's name
    y: Any,
    *,
    pos_label: Any = None,
    timestamp: Any = None,
    customer: Any = None,
    merchant: Any = None,
    amount: Any = None,
    weight: Any = None,
    currency: str | None = None,
    by: Any = None,
    name: str | None = None,
    version: str = "",
    start: Bound = None,
    end: Bound = None,
    threshold: float | Threshold | None = None,
    alerts_per_day: int = 20,
    cost_per_alert: float = 5.0,
    recovery_rate: float = 1.0,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence_level: float = 0.95,
    notes: Sequence[str] = (),
) -> ModelReport:
    """Report on a fitted scikit-learn classifier: ``model_report.from_estimator(model, X, y)``.

    Parameters
    ----------
    model
        A fitted classifier of two classes. Scores are those of ``predict_proba``. A model that has
        ``decision_function`` only is reported without calibration: its decisions are mapped to 0
        to 1, and the report says so.
    X, y
        Features and labels of transactions that the model was not trained on.
    pos_label
        The class that means fraud; by default the second of ``model.classes_``. Needed if classes
        are texts.
    timestamp, customer, merchant, amount, weight
        Columns of ``X``, or arrays as long as ``y``, as for :func:`synfin_analytics.model_report`.
        ``weight`` may be the weights of both labels.
    currency
        Currency of the amounts, such as ``"EUR"``.
    by
        Columns of ``X`` to compare groups of, or a dict of arrays.
    name, version
        Name and version of the model; by default the name of its class.
    start, end, threshold, alerts_per_day, cost_per_alert, recovery_rate
        As for :func:`synfin_analytics.model_report`.
    n_resamples, seed, confidence_level, notes
        As for :func:`synfin_analytics.model_report`.

    Returns
    -------
    ModelReport
        With the importances of the features, if the model has any (``feature_importances_`` or
        ``coef_``).

    Raises
    ------
    ArgumentError
        ``model`` is not a fitted classifier of two classes, or arrays differ in length.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = [[float(number)] for number in range(40)], [number > 25 for number in range(40)]
    >>> model = LogisticRegression().fit(X, y)
    >>> report = model_report.from_estimator(model, X, y, n_resamples=50)
    >>> report.name, report.evaluation.roc_auc
    ('LogisticRegression', 1.0)
    """
    label_weights = weight if isinstance(weight, Mapping) else None
    roles: dict[str, Any] = {
        "timestamp": timestamp, "customer": customer, "merchant": merchant, "amount": amount,
        "weight": weight if label_weights is None else None,
    }  # fmt: skip
    scored = score_rows(model, X, y, pos_label, roles, by)
    options = _Options(
        start=start, end=end, threshold=threshold, alerts_per_day=alerts_per_day,
        cost_per_alert=cost_per_alert, recovery_rate=recovery_rate, entity=None, cluster=None,
        n_resamples=n_resamples, seed=seed, confidence_level=confidence_level, notes=notes,
    )  # fmt: skip
    rows = read_rows(
        scored.frame,
        Roles(label=LABEL, score=SCORE, currency=currency, **scored.columns),
        by=scored.by,
        period=options.period,
        caller="model_report.from_estimator",
    )
    source = FramePredictions(
        rows,
        check_string(scored.name if name is None else name, "name", example="forest"),
        version,
        confidence_level=confidence_level,
        missing=scored.missing,
        label_weights=label_weights,
        importances=scored.importances,
        remarks=scored.remarks,
    )
    given = {"pos_label": pos_label, "currency": currency, "by": by, "name": name, **roles}
    given = {
        key: value if isinstance(value, (str, list, tuple)) else f"<{type(value).__name__}>"
        for key, value in given.items()
        if value is not None
    }
    if label_weights is not None:
        given["weight"] = weight
    provenance = Provenance.from_data(
        X, len(rows.frame), "model_report.from_estimator", given | options.changed(), "model, X, y"
    )
    return _report(source, options, rows.by, provenance)


@_add_from_estimator
def model_report(
    df: Any,
    model_version: str | None = None,
    *,
    label: str | None = None,
    score: str | None = None,
    timestamp: str | None = None,
    customer: str | None = None,
    merchant: str | None = None,
    amount: str | None = None,
    currency: str | None = None,
    weight: Weight | None = None,
    status: str | None = None,
    label_available_at: str | None = None,
    pos_label: Any = None,
    name: str | None = None,
    version: str = "",
    compare_with: str | tuple[str, str] | None = None,
    by: By = None,
    start: Bound = None,
    end: Bound = None,
    as_of: Bound = None,
    session: Session | None = None,
    archive: str | Path | None = None,
    cache: bool = True,
    threshold: float | Threshold | None = None,
    alerts_per_day: int = 20,
    cost_per_alert: float = 5.0,
    recovery_rate: float = 1.0,
    entity: str | None = None,
    cluster: str | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
    confidence_level: float = 0.95,
    notes: Sequence[str] = (),
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    date_format: str | None = None,
    timezone: str | None = None,
) -> ModelReport:
    """Report on a model: from a scored frame or file, or from its stored predictions.

    ``model_report(df, label="isFraud", score="p")`` needs no database. Each further column adds
    sections; the report lists those that are left out, and why (``report.omitted``).
    ``model_report("forest", "1.0")`` reads the stored predictions of a model, and their
    transactions. ``model_report.from_estimator(model, X, y)`` scores with a scikit-learn
    classifier.

    Parameters
    ----------
    df
        A row for each transaction: a frame of pandas, polars (eager or lazy), pyarrow, DuckDB,
        Dask or PySpark, or the path of a file that :func:`load_df` reads. For a model in the
        database, its name. See the notes for which lazy frames count for themselves.
    model_version
        Version of a model in the database.
    label, score
        Columns of the labels (true or 1 for fraud; rows without a label are counted, but not
        evaluated) and of the scores, from 0 to 1.
    timestamp
        Column of the times of the transactions: for weeks and the alert budget.
    customer, merchant
        Columns of customers and merchants: for intervals, and cards by day.
    amount
        Column of the amounts: for costs. Texts may have a currency sign or code, as in
        ``"EUR 12.50"``.
    currency
        Column of the currencies of the amounts, or a code such as ``"EUR"``.
    weight
        Column of weights, for undersampled test sets: how many transactions a row stands for; or
        the weight of each label, such as ``{False: 50.0, True: 1.0}``, as for :func:`evaluate`. In
        the database, a numeric column of ``transactions``. Days and weeks are left out then.
    status, label_available_at
        Columns of the status of transactions (frauds that were declined are no loss) and of the
        times at which labels arrived.
    pos_label
        The label that means fraud, if labels are not true or false: ``"yes"``.
    name, version
        Name and version of the model that made the scores of a frame; by default the name of the
        column.
    compare_with
        Column of the scores of another model; in the database, its name and version. Models are
        compared on the transactions that both scored.
    by
        Columns to compare groups of, as ``["channel", "country"]``; a tuple of columns forms groups
        of both. By default two columns with few values; ``[]`` for none.
    start, end
        Period of the transactions: from ``start`` on and before ``end``. A date without a time is
        its midnight UTC, so that ``end="2026-02-01"`` excludes the 1st of February.
    as_of
        Report what was known at this date (its midnight UTC) or time: only transactions before it,
        and a label that became known later counts as missing, as in
        :func:`synfin_analytics.evaluate`. Of a frame, it needs ``timestamp`` and
        ``label_available_at``.
    session
        Where to read a stored model; by default a session of :func:`get_db_manager` that sees one
        snapshot of the database.
    archive
        For a stored model: folder of :func:`archive_transactions` whose predictions are reported
        on, too. All are read into memory then.
    cache
        False to compute the report on a stored model in any case, although its numbers may be in
        the cache (``DB_CACHE_URL``).
    threshold
        A score at the threshold or above is an alert. By default 0.5 or, if others are stored, the
        threshold that the stored predictions are consistent with.
    alerts_per_day
        How many alerts, or cards, can be reviewed in a day.
    cost_per_alert, recovery_rate
        Cost of reviewing an alert, in the currency of the amounts, and the share of a detected
        fraud's value that is recovered.
    entity, cluster
        Columns of what is ranked by day, and of what the bootstrap resamples; by default customers.
        Without customers, the bootstrap resamples single transactions.
    n_resamples, seed, confidence_level
        Number of resamples, seed of their generator, confidence level of all intervals.
    notes
        Sentences to add, as on how the model was trained.
    separator, encoding, decimal, thousands, date_format, timezone
        How a file, or texts in a frame, are written, as for :func:`load_df`.

    Returns
    -------
    ModelReport
        ``.save("report.html")`` writes the page; its numbers are attributes.

    Raises
    ------
    NotFoundError
        The model has no predictions, or a column does not exist; the message names similar ones.
    ArgumentError
        No prediction is in the period or has a score; scores are not from 0 to 1, labels are not
        true or false; cells of a column are not what it means, a column that ``as_of`` needs is
        missing, or a column of ``by`` identifies a person.

    Notes
    -----
    A polars LazyFrame, DuckDB, Dask or PySpark counts for itself, so that what reaches this process
    is at most a row for each distinct score, and one for each customer and bin of scores. It does
    so if customers or ``cluster`` are given and known for each labelled row; labels are booleans or
    numbers, or of the type of ``pos_label``; scores, amounts and weights are numbers; times are
    dates or times in UTC; and other columns hold single texts, numbers or booleans. All other rows
    are read into memory. Bootstraps of areas count scores in bins, as those of :func:`evaluate`
    with a lazy frame; a caveat of the report says by how much intervals are off at most.

    Without ``customer`` or ``cluster``, single transactions are resampled in the order in which
    they arrive, so intervals differ a little between orders of rows, and between engines: PySpark
    keeps no order.

    Examples
    --------
    >>> import polars as pl
    >>> df = pl.DataFrame(
    ...     {
    ...         "isFraud": [number % 10 == 0 for number in range(200)],
    ...         "p": [0.9 if number % 10 == 0 or number % 9 == 0 else 0.2 for number in range(200)],
    ...         "channel": ["online" if number % 3 else "pos" for number in range(200)],
    ...     }
    ... )
    >>> report = model_report(df, label="isFraud", score="p", by=["channel"], n_resamples=50)
    >>> report.evaluation.recall, report.omitted["cost"]
    (1.0, 'No column of amounts was given (amount).')

    From the database:

    >>> import datetime as dt
    >>> from synfin_analytics import get_db_manager, get_db_session, load_df, simulate
    >>> get_db_manager().create_all_tables()
    >>> world = simulate(30, 20, days=30, start=dt.date(1998, 1, 1))
    >>> df = world.transactions
    >>> predictions = df[["transaction_id"]].assign(
    ...     model_name="amount",
    ...     model_version="1.0",
    ...     fraud_probability=(df["amount"] / 500).clip(upper=1),
    ...     prediction=df["amount"] >= 100,
    ...     ground_truth=df["is_fraud"],
    ... )
    >>> with get_db_session() as session:
    ...     for table, df in [*world.to_dict().items(), ("model_predictions", predictions)]:
    ...         _ = load_df(df, table, session=session)
    ...     report = model_report("amount", "1.0", by=[], n_resamples=50, session=session)
    ...     session.rollback()
    >>> report.evaluation.threshold.value  # inferred from the stored predictions
    0.2
    >>> round(report.expected_frauds, 1), report.evaluation.n_frauds
    (79.5, 6)
    """
    options = _Options(
        start=start, end=end, threshold=threshold, alerts_per_day=alerts_per_day,
        cost_per_alert=cost_per_alert, recovery_rate=recovery_rate, entity=entity, cluster=cluster,
        n_resamples=n_resamples, seed=seed, confidence_level=confidence_level, notes=notes,
        as_of=as_of,
    )  # fmt: skip
    columns: dict[str, Any] = {
        "label": label, "score": score, "timestamp": timestamp, "customer": customer,
        "merchant": merchant, "amount": amount, "weight": weight, "currency": currency,
        "status": status, "label_available_at": label_available_at,
    }  # fmt: skip
    texts: dict[str, Any] = {
        "separator": separator, "encoding": encoding, "decimal": decimal, "thousands": thousands,
        "date_format": date_format, "timezone": timezone,
    }  # fmt: skip
    model: dict[str, Any] = {"pos_label": pos_label, "name": name, "version": version or None}
    given = {**columns, **model, "compare_with": compare_with, **texts}
    given = {key: value for key, value in given.items() if value is not None}
    if label is None and score is None and (model_version is not None or not is_frame(df)):
        return _report_stored(df, model_version, by, session, archive, options, given, cache=cache)
    _check_frame_call(df, model_version, label, score, session, archive, cache=cache)
    label_weights = weight if isinstance(weight, Mapping) else None
    if label_weights is not None:
        columns["weight"] = None
    arguments: dict[str, Any] = {
        "by": by, "period": options.period, "as_of": options.known, "pos_label": pos_label,
        "options": ReadOptions(**texts), "caller": "model_report",
    }  # fmt: skip
    roles = Roles(**columns, entity=entity, cluster=cluster, compare_with=compare_with)  # type: ignore[arg-type]
    described: dict[str, Any] = {
        "name": check_string(score if name is None else name, "name", example="forest"),
        "version": version, "confidence_level": confidence_level, "label_weights": label_weights,
        "missing": {},
    }  # fmt: skip

    def report(source: ModelSource, rows: Rows | LazyRows) -> ModelReport:
        call = given | ({} if rows.by is None else {"by": rows.by}) | options.changed()
        provenance = Provenance.from_data(df, rows.n_rows, "model_report", call)
        return _report(source, options, rows.by, provenance)

    with (
        contextlib.suppress(NeedsMemory),
        closing_rows(open_lazy_rows(df, roles, **arguments)) as opened,
    ):
        if opened is not None:
            lazy_rows = check_lazy_scores(opened)
            return report(LazyPredictions(lazy_rows, **described), lazy_rows)
    rows = read_rows(df, roles, **arguments)
    return report(FramePredictions(rows, **described), rows)


def _check_frame_call(
    df: Any,
    model_version: Any,
    label: Any,
    score: Any,
    session: Session | None = None,
    archive: str | Path | None = None,
    *,
    cache: bool = True,
) -> None:
    """Check the arguments of a report from a frame that have to do with each other."""
    if label is None or score is None:
        raise ArgumentError(
            "model_report needs the columns of labels and of scores of a frame, "
            'model_report(df, label="isFraud", score="p"), or the name and version of a stored '
            f'model, model_report("rf", "1.0"); got {format_value(df)}.'
        )
    check_column_name(label, "label")
    check_column_name(score, "score")
    given = {
        "model_version": model_version, "session": session, "archive": archive,
        "cache": None if cache else cache,
    }  # fmt: skip
    for name, value in given.items():
        if value is not None:
            raise ArgumentError(f"`{name}` is for a stored model; got it with columns of a frame.")


@dataclass(frozen=True, kw_only=True)
class _Options:
    """What is asked of a report, whatever it is computed from."""

    start: Bound
    end: Bound
    threshold: float | Threshold | None
    alerts_per_day: int = 20
    cost_per_alert: float = 5.0
    recovery_rate: float = 1.0
    entity: str | None = None
    cluster: str | None = None
    n_resamples: int = 1000
    seed: int = 0
    confidence_level: float = 0.95
    notes: Sequence[str] = ()
    as_of: Bound = None

    def __post_init__(self) -> None:
        check_integer(self.alerts_per_day, "alerts_per_day", minimum=1)
        check_costs(self.cost_per_alert, self.recovery_rate)
        parse_range(self.start, self.end)
        parse_time(self.as_of, "as_of")
        notes = (self.notes,) if isinstance(self.notes, str) else tuple(self.notes)
        object.__setattr__(self, "notes", tuple(check_string(note, "notes") for note in notes))
        if self.threshold is not None:
            object.__setattr__(self, "threshold", check_threshold(self.threshold))

    @property
    def period(self) -> tuple[dt.datetime | None, dt.datetime | None]:
        """Start and end of the transactions."""
        return parse_range(self.start, self.end)

    @property
    def known(self) -> dt.datetime | None:
        """Time of which the report has the state."""
        return parse_time(self.as_of, "as_of")

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, as they are written in a call."""
        values: dict[str, tuple[Any, Any]] = {
            "start": (format_bound(self.start), None),
            "end": (format_bound(self.end), None),
            "as_of": (format_bound(self.as_of), None),
            "threshold": (None if self.threshold is None else float(self.threshold), None),
            "alerts_per_day": (self.alerts_per_day, 20),
            "cost_per_alert": (self.cost_per_alert, 5.0),
            "recovery_rate": (self.recovery_rate, 1.0),
            "entity": (self.entity, None),
            "cluster": (self.cluster, None),
            "n_resamples": (self.n_resamples, 1000),
            "seed": (self.seed, 0),
            "confidence_level": (self.confidence_level, 0.95),
        }
        return {name: value for name, (value, default) in values.items() if value != default}


def _report_stored(
    name: Any,
    version: Any,
    by: By,
    session: Session | None,
    archive: str | Path | None,
    options: _Options,
    given: Mapping[str, Any],
    *,
    cache: bool,
) -> ModelReport:
    """Report on the stored predictions of a model."""
    if version is None:
        _check_frame_call(name, version, None, None)
    model = (
        check_string(name, "model_name", example="rf"),
        check_string(version, "model_version", example="1.0"),
    )
    for key in given:
        if key not in {"compare_with", "weight"}:
            raise ArgumentError(
                f"`{key}` is for a frame or file; got it with the stored model {name!r}."
            )
    groupings = None
    if by is not None:
        names = Transaction.__table__.c.keys()
        groupings = check_groupings(by, names, PERSONAL_COLUMNS, "'transactions'")
    compare_with, weight = given.get("compare_with"), given.get("weight")
    other = None if compare_with is None else check_model(compare_with, model)
    call: dict[str, Any] = {
        "compare_with": other, "by": groupings, "weight": weight,
        "archive": None if archive is None else str(archive),
    }  # fmt: skip
    call = {key: value for key, value in call.items() if value is not None} | options.changed()
    choices: Any = {
        "entity": options.entity or "customer_id", "cluster": options.cluster or "customer_id",
        "confidence_level": options.confidence_level, "weight": weight,
        "as_of": options.known,
    }  # fmt: skip

    def measure_archived(session: Session) -> dict[str, Any]:
        names = group_columns(groupings)
        source = ArchivedPredictions(
            session, archive or "", model, other, options.period, columns=names, **choices
        )
        return _measure(source, options, groupings)

    def measure_stored(session: Session) -> dict[str, Any]:
        source = StoredPredictions(
            session, model, other, options.period, groupings=groupings, **choices
        )
        results = _measure(source, options, groupings)
        source.release()
        return results

    def compute(session: Session) -> ModelReport:
        measure = measure_stored if archive is None else measure_archived
        threshold = options.threshold
        chosen = astuple(threshold) if isinstance(threshold, Threshold) else None
        results = cached_results(
            session,
            "model_report",
            (model, call, options.period, choices, chosen),
            lambda: measure(session),
            tables=[ModelPrediction.__tablename__],
            enabled=cache and archive is None,
        )
        query = query_of_predictions(session, model, options.period, options.known)
        provenance = Provenance.from_call(session, query, "model_report", model, call)
        return ModelReport(**results, notes=tuple(options.notes), provenance=provenance)

    return compute_in_session(session, compute)


def _report(source: ModelSource, options: _Options, by: Any, provenance: Provenance) -> ModelReport:
    """Report on the rows of a frame."""
    return ModelReport(
        **_measure(source, options, by),
        notes=tuple(options.notes),
        provenance=provenance,
        created_at=dt.datetime.now(dt.UTC),
    )


def _measure(source: ModelSource, options: _Options, by: Any) -> dict[str, Any]:
    """Compute the numbers of a report from any source."""
    if options.threshold is None:
        threshold, origin = source.infer_threshold()
    else:
        threshold, origin = check_threshold(options.threshold), "specified for this report"
    settings = Settings(
        options.alerts_per_day, options.cost_per_alert, options.recovery_rate, source.entity,
        source.cluster, source.cluster_noun, options.n_resamples, options.seed, origin,
    )  # fmt: skip
    return compute_model(source, threshold, settings, by)
