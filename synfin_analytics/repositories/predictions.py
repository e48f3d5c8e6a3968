"""Predictions of models, and their evaluation inside PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict, overload

from sqlalchemy import func, select

from synfin_analytics._core.arguments import check_confidence_level, check_string, format_value
from synfin_analytics.database.models import ModelPrediction
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics import evaluate
from synfin_analytics.metrics._score_counts import split_counts
from synfin_analytics.metrics._weights import parse_weight
from synfin_analytics.metrics.bootstrap import OF_VALUE, MetricOptions
from synfin_analytics.metrics.comparison import DEFAULT_METRICS, Comparison, compare_evaluations
from synfin_analytics.metrics.confusion import Confusion
from synfin_analytics.metrics.drift import (
    Drift,
    check_binning,
    check_disjoint,
    drift_from_counts,
    parse_period,
)
from synfin_analytics.metrics.evaluation import Evaluation, Threshold, check_threshold
from synfin_analytics.metrics.grouped import (
    GroupedEvaluation,
    check_group_columns,
    group_evaluations,
)
from synfin_analytics.metrics.proportions import IntervalMethod, check_interval
from synfin_analytics.repositories._archived import read_predictions
from synfin_analytics.repositories._prediction_counts import ScoredPredictions
from synfin_analytics.repositories._validation import is_model, no_predictions
from synfin_analytics.repositories.base import BaseRepository, RowsT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from sqlalchemy.orm import Session

    from synfin_analytics._core.dates import Bound
    from synfin_analytics._core.output import Output
    from synfin_analytics.metrics._weights import Weight

_NEWEST_FIRST = (ModelPrediction.predicted_at.desc(),)


class ModelPerformance(TypedDict):
    """Counts and rates of a model's predictions.

    Attributes
    ----------
    accuracy, precision, recall
        Rates; NaN where they are undefined.
    true_positives, false_positives, false_negatives, true_negatives
        Counts of labelled predictions.
    evaluated
        Number of labelled predictions.
    without_ground_truth
        Number of predictions that are left out because they have no label.
    """

    accuracy: float
    precision: float
    recall: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    evaluated: int
    without_ground_truth: int


class ModelPredictionRepository(BaseRepository[ModelPrediction, RowsT]):
    """Predictions of models, and their evaluation.

    See :class:`BaseRepository` for the parameters and the common methods.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager, get_db_session
    >>> get_db_manager().create_all_tables()
    >>> with get_db_session() as session:
    ...     ModelPredictionRepository(session).get_by_model("forest").empty
    True
    """

    model = ModelPrediction

    # fmt: off
    @overload
    def __init__(self: ModelPredictionRepository[pd.DataFrame], session: Session,
                 output: Literal["pandas"] = ..., *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: ModelPredictionRepository[pl.DataFrame], session: Session,
                 output: Literal["polars"], *, use_decimal: bool = ...) -> None: ...
    @overload
    def __init__(self: ModelPredictionRepository[pa.Table], session: Session,
                 output: Literal["arrow"], *, use_decimal: bool = ...) -> None: ...
    def __init__(self, session: Session, output: Output = "pandas", *,
                 use_decimal: bool = False) -> None:  # as in BaseRepository, but for the overloads
        super().__init__(session, output, use_decimal=use_decimal)
    # fmt: on

    def get_by_transaction_id(self, transaction_id: str) -> RowsT:
        """Return the predictions of all models for a transaction, newest first.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(ModelPredictionRepository(session).get_by_transaction_id("no such id"))
        0
        """
        return self._select(*self._equals(transaction_id=transaction_id), order=_NEWEST_FIRST)

    def get_by_model(
        self,
        model_name: str,
        model_version: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> RowsT:
        """Return the predictions of a model, newest first.

        Parameters
        ----------
        model_name
            Name of the model.
        model_version
            Version of the model; all versions by default.
        limit, offset
            Maximum number of rows, and number of rows to skip.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     len(ModelPredictionRepository(session).get_by_model("forest", "1.0", limit=10))
        0
        """
        values = {"model_name": model_name}
        if model_version is not None:
            values["model_version"] = model_version
        where = self._equals(**values)
        return self._select(*where, order=_NEWEST_FIRST, limit=limit, offset=offset)

    def get_model_performance(self, model_name: str, model_version: str) -> ModelPerformance:
        """Compute accuracy, precision and recall of one version of a model inside PostgreSQL.

        Parameters
        ----------
        model_name, model_version
            Name and version of the model.

        Returns
        -------
        dict
            ``accuracy``, ``precision``, ``recall`` (NaN where they are undefined);
            ``true_positives``, ``false_positives``, ``false_negatives``, ``true_negatives``;
            ``evaluated``, the number of labelled predictions, and ``without_ground_truth``, the
            number of those left out because they have no label.

        Raises
        ------
        NotFoundError
            There is no prediction of that model and version; the message suggests the nearest one.

        See Also
        --------
        confusion : The same counts with intervals and more rates.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     ModelPredictionRepository(session).get_model_performance("forest", "1.0")
        Traceback (most recent call last):
        synfin_analytics.exceptions.NotFoundError: There is no model 'forest 1.0' in ...
        """
        confusion, n_unlabelled = self._count_outcomes(model_name, model_version)
        return {
            "accuracy": confusion.accuracy,
            "precision": confusion.precision,
            "recall": confusion.recall,
            "true_positives": confusion.tp,
            "false_positives": confusion.fp,
            "false_negatives": confusion.fn,
            "true_negatives": confusion.tn,
            "evaluated": confusion.n,
            "without_ground_truth": n_unlabelled,
        }

    @overload
    def evaluate(
        self,
        model_name: str,
        model_version: str,
        *,
        threshold: float | Threshold = ...,
        by: None = ...,
        amount: bool = ...,
        interval_method: IntervalMethod = ...,
        confidence_level: float = ...,
        start: Bound = ...,
        end: Bound = ...,
        common_with: Sequence[tuple[str, str]] = ...,
        as_of: Bound = ...,
        weight: Weight | None = ...,
        cache: bool = ...,
        archive: str | Path | None = ...,
    ) -> Evaluation: ...
    @overload
    def evaluate(
        self,
        model_name: str,
        model_version: str,
        *,
        threshold: float | Threshold = ...,
        by: str | Sequence[str],
        amount: bool = ...,
        interval_method: IntervalMethod = ...,
        confidence_level: float = ...,
        start: Bound = ...,
        end: Bound = ...,
        common_with: Sequence[tuple[str, str]] = ...,
        as_of: Bound = ...,
        weight: Weight | None = ...,
        cache: bool = ...,
        archive: str | Path | None = ...,
    ) -> GroupedEvaluation: ...
    def evaluate(
        self,
        model_name: str,
        model_version: str,
        *,
        threshold: float | Threshold = 0.5,
        by: str | Sequence[str] | None = None,
        amount: bool = False,
        interval_method: IntervalMethod = "wilson",
        confidence_level: float = 0.95,
        start: Bound = None,
        end: Bound = None,
        common_with: Sequence[tuple[str, str]] = (),
        as_of: Bound = None,
        weight: Weight | None = None,
        cache: bool = True,
        archive: str | Path | None = None,
    ) -> Evaluation | GroupedEvaluation:
        """Evaluate the scores of one version of a model inside PostgreSQL.

        The result equals that of :func:`synfin_analytics.evaluate` for the same rows, with
        ``fraud_probability`` as the score and ``ground_truth`` as the label. Only counts leave the
        database: by score, by day, by card and day, and for a bootstrap by cluster.

        Parameters
        ----------
        model_name, model_version
            Name and version of the model.
        threshold
            Scores at or above the threshold are alerts, whatever the column ``prediction`` says.
        by
            Column or columns of ``transactions`` to group by.
        amount
            Whether to aggregate the transactions' amounts too, for costs.
        interval_method, confidence_level
            Method and level of the intervals of proportions.
        start, end
            Only transactions at or after ``start`` and before ``end``; a date without a time is its
            midnight UTC.
        common_with
            Names and versions of other models: only transactions that these have scored too, with
            a label.
        as_of
            Evaluate as was known at this date or time, as in :func:`synfin_analytics.evaluate`:
            only transactions before it, whenever they were scored, and a ``ground_truth`` counts as
            missing if the ``label_available_at`` of its transaction is later.
        weight
            Numeric column of ``transactions``, such as ``"amount"`` to count euros, or the weight
            of each label, as for :func:`synfin_analytics.evaluate`: if one in fifty genuine
            transactions was scored, ``{False: 50.0, True: 1.0}``.
        cache
            False to count in any case, although the answer may be in the cache (``DB_CACHE_URL``).
        archive
            Folder of :func:`archive_transactions` whose rows count too. They are read into memory
            then, and stay there as long as the result: with ``timestamp``, ``customer_id``,
            ``merchant_id`` and the other columns named here.

        Returns
        -------
        Evaluation or GroupedEvaluation
            The latter with ``by``.

        Raises
        ------
        NotFoundError
            There is no prediction of that model and version, or no such column in
            ``transactions``.
        ArgumentError
            There is no prediction in this range or in common with the other models; labelled
            predictions have no ``fraud_probability``; or a weight is missing, negative or infinite.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     ModelPredictionRepository(session).evaluate("forest", "1.0", threshold=0.8)
        Traceback (most recent call last):
        synfin_analytics.exceptions.NotFoundError: There is no model 'forest 1.0' in ...
        """
        check_interval(interval_method, confidence_level)
        _check_version(model_name, model_version)
        checked_threshold = check_threshold(threshold)
        self._flush()
        names = () if by is None else check_group_columns(by)
        if archive is not None:
            numbers = [weight] if isinstance(weight, str) else []
            columns = dict.fromkeys(("customer_id", "merchant_id", "amount", *names, *numbers))
            model = (model_name, model_version)
            frame = read_predictions(
                self.session, archive, model, columns, start, end, as_of, common_with=common_with
            )
            options: Any = {
                "threshold": checked_threshold, "weight": weight, "by": by,
                "amount": "amount" if amount else None, "interval_method": interval_method,
                "confidence_level": confidence_level,
            }  # fmt: skip
            result: Evaluation | GroupedEvaluation = evaluate(
                frame, "ground_truth", "fraud_probability", **options
            )
            return result
        rows = ScoredPredictions(
            self.session,
            model_name,
            model_version,
            start,
            end,
            tuple(common_with),
            as_of,
            parse_weight(weight),
        )
        counts, rows = rows.by_score(names, amount=amount, cache=cache)
        if not len(counts):
            raise no_predictions(self.session, model_name, model_version)
        groups = split_counts(counts, names, weighted=weight is not None)
        if by is not None:
            return group_evaluations(
                names, groups, checked_threshold, interval_method, confidence_level, rows
            )
        ((_, score_counts),) = groups
        return Evaluation(score_counts, checked_threshold, interval_method, confidence_level, rows)

    def compare_models(
        self,
        models: Sequence[tuple[str, str]],
        *,
        threshold: float | Threshold = 0.5,
        cluster: str | None = None,
        metrics: Sequence[str] = DEFAULT_METRICS,
        n_resamples: int = 1000,
        seed: int = 0,
        confidence_level: float = 0.95,
        k: int = 100,
        day: str = "timestamp",
        entity: str = "customer_id",
        max_fpr: float = 0.01,
        cost_per_alert: float | None = None,
        recovery_rate: float = 1.0,
        as_of: Bound = None,
        weight: Weight | None = None,
    ) -> Comparison:
        """Compare models that scored the same transactions, with intervals of the differences.

        Parameters
        ----------
        models
            Names and versions, such as ``[("forest", "1.0"), ("logit", "1.0")]``. The others are
            compared with the first.
        threshold, cluster, metrics, n_resamples, seed, confidence_level
            As in :func:`synfin_analytics.compare_models`; ``cluster`` is a column of
            ``transactions``.
        k, day, entity, max_fpr, cost_per_alert, recovery_rate
            Parameters of single metrics; ``day`` and ``entity`` are columns of ``transactions``.
        as_of
            Compare as was known at this date or time, as in :meth:`evaluate`.
        weight
            Numeric column of ``transactions`` or weights of the labels, as for :meth:`evaluate`.

        Returns
        -------
        Comparison
            The metrics of each model and their differences.

        Raises
        ------
        NotFoundError
            There is no prediction of a model, no such column, or a metric has no bootstrap.
        ArgumentError
            ``models`` is empty, the models have scored different rows, or an argument is out of
            range.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     ModelPredictionRepository(session).compare_models([("forest", "1.0")])
        Traceback (most recent call last):
        synfin_analytics.exceptions.NotFoundError: There is no model 'forest 1.0' in ...
        """
        if not models or not all(is_model(model) for model in models):
            raise ArgumentError(
                "`models` must be names and versions, such as [('forest', '1.0'), "
                f"('logit', '1.0')]; got {format_value(models)}."
            )
        evaluations = {
            f"{name} {version}": self.evaluate(
                name,
                version,
                threshold=threshold,
                confidence_level=confidence_level,
                amount=bool(OF_VALUE.intersection(metrics)),
                as_of=as_of,
                weight=weight,
            )
            for name, version in models
        }
        options = MetricOptions(k, day, entity, max_fpr, cost_per_alert, recovery_rate)
        return compare_evaluations(
            evaluations,
            cluster=cluster,
            metrics=metrics,
            n_resamples=n_resamples,
            seed=seed,
            options=options,
        )

    def measure_drift(
        self,
        model_name: str,
        model_version: str,
        *,
        reference: tuple[Bound, Bound],
        current: tuple[Bound, Bound],
        bins: int | Sequence[float] = 10,
        confidence_level: float = 0.95,
    ) -> Drift:
        """Measure the drift of a model's scores between two periods inside PostgreSQL.

        The result equals that of :func:`synfin_analytics.measure_drift` for the same rows.
        Predictions without a label count, too.

        Parameters
        ----------
        model_name, model_version
            Name and version of the model.
        reference, current
            Start and end of both periods of transactions, such as ``("2026-01-01", "2026-02-01")``;
            None leaves a side open.
        bins
            Number of bins with equally many predictions of the reference, or the edges between
            them.
        confidence_level
            Of the PSI that is exceeded by chance.

        Returns
        -------
        Drift
            Of the column ``fraud_probability``.

        Raises
        ------
        NotFoundError
            There is no prediction of that model and version.
        ArgumentError
            A period has no predictions, or an argument is out of range.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> january, february = ("2026-01-01", "2026-02-01"), ("2026-02-01", "2026-03-01")
        >>> with get_db_session() as session:
        ...     ModelPredictionRepository(session).measure_drift(
        ...         "forest", "1.0", reference=january, current=february
        ...     )
        Traceback (most recent call last):
        synfin_analytics.exceptions.NotFoundError: There is no model 'forest 1.0' in ...
        """
        _check_version(model_name, model_version)
        edges = bins if isinstance(bins, int) else {"fraud_probability": bins}
        check_binning(edges, ["fraud_probability"])
        check_confidence_level(confidence_level)
        periods = parse_period(reference, "reference"), parse_period(current, "current")
        check_disjoint(*periods)
        self._flush()
        counts = ScoredPredictions(self.session, model_name, model_version).by_period(*periods)
        if not len(counts):
            raise no_predictions(self.session, model_name, model_version)
        return drift_from_counts(
            {"fraud_probability": counts}, bins=edges, confidence_level=confidence_level
        )

    def confusion(self, model_name: str, model_version: str) -> Confusion:
        """Return the confusion matrix of one version of a model, for its labelled predictions.

        Examples
        --------
        >>> from synfin_analytics import get_db_session
        >>> with get_db_session() as session:
        ...     ModelPredictionRepository(session).confusion("forest", "1.0")
        Traceback (most recent call last):
        synfin_analytics.exceptions.NotFoundError: There is no model 'forest 1.0' in ...
        """
        return self._count_outcomes(model_name, model_version)[0]

    def _count_outcomes(self, model_name: str, model_version: str) -> tuple[Confusion, int]:
        _check_version(model_name, model_version)
        self._flush()
        alert, fraud = ModelPrediction.prediction, ModelPrediction.ground_truth
        counts = self.session.execute(
            select(
                func.count().filter(alert & fraud).label("tp"),
                func.count().filter(alert & ~fraud).label("fp"),
                func.count().filter(~alert & fraud).label("fn"),
                func.count().filter(~alert & ~fraud).label("tn"),
                func.count().filter(fraud.is_(None)).label("unlabelled"),
            ).where(*self._equals(model_name=model_name, model_version=model_version))
        ).one()
        confusion = Confusion(counts.tp, counts.fp, counts.fn, counts.tn)
        if not confusion.n and not counts.unlabelled:
            raise no_predictions(self.session, model_name, model_version)
        return confusion, int(counts.unlabelled)


def _check_version(model_name: object, model_version: object) -> None:
    check_string(model_name, "model_name")
    check_string(model_version, "model_version", example="1.0")
