"""Features of transactions, and what models predicted of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from sqlalchemy import func, select

from synfin_analytics._core.arguments import check_string, format_value
from synfin_analytics._core.dates import half_open
from synfin_analytics._core.frequency import read_delay
from synfin_analytics.database.models import MLFeatures, ModelPrediction
from synfin_analytics.exceptions import ArgumentError, NotFoundError, SynfinError
from synfin_analytics.metrics._resampled import Options
from synfin_analytics.metrics._scored import split_counts
from synfin_analytics.metrics.by_group import GroupedEvaluation, check_groups, grouped
from synfin_analytics.metrics.comparison import DEFAULT, Comparison, compare
from synfin_analytics.metrics.confusion import Confusion
from synfin_analytics.metrics.evaluation import Evaluation
from synfin_analytics.metrics.proportions import IntervalMethod, check_interval
from synfin_analytics.metrics.threshold import Threshold, as_threshold
from synfin_analytics.repositories._errors import savepoint
from synfin_analytics.repositories._features import engineer
from synfin_analytics.repositories._prediction_counts import ScoredPredictions
from synfin_analytics.repositories.base import BaseRepository

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from synfin_analytics._core.dates import Bound
    from synfin_analytics.io.load.report import LoadReport
    from synfin_analytics.repositories.base import Rows


class MLFeaturesRepository(BaseRepository[MLFeatures]):
    """Engineered features."""

    model = MLFeatures

    def get_by_transaction_id(self, transaction_id: str) -> MLFeatures | None:
        """Features of a transaction; each has them once."""
        return self._one(transaction_id=transaction_id)

    def engineer(
        self,
        start: Bound = None,
        end: Bound = None,
        label_delay: str | dt.timedelta | None = None,
    ) -> LoadReport:
        """Compute the features of the transactions in the table, and store them by COPY.

        Features that are there already are replaced. It is all or nothing, in the session's
        transaction; a long period is done in parts, which changes no result.

        Parameters
        ----------
        start, end
            Only features of transactions at or after ``start`` and before ``end``; a date without
            a time is its midnight UTC. All earlier transactions are their history, so that each day
            adds its own.
        label_delay
            By default each label was known at ``label_available_at``, or at once where that is
            NULL. A length of time, as ``"7d"``, ignores that column and makes every label known so
            long after its transaction: for data whose labels have no such time.

        Returns
        -------
        LoadReport
            How many rows were inserted, and how many updated.

        Raises
        ------
        ArgumentError
            The period ends before it begins; the delay is negative.

        See Also
        --------
        synfin_analytics.engineer_features : the same for frames.
        """
        period = half_open(start, end)
        delay = None if label_delay is None else read_delay(label_delay, "label_delay")
        self._flush()
        with savepoint(self.session):
            return engineer(self.session, *period, delay)


class ModelPredictionRepository(BaseRepository[ModelPrediction]):
    """Predictions, and how good they were."""

    model = ModelPrediction

    def get_by_transaction_id(self, transaction_id: str) -> Rows:
        """Predictions of all models for a transaction, newest first."""
        order = (ModelPrediction.predicted_at.desc(),)
        return self._many(*self._is(transaction_id=transaction_id), order=order)

    def get_by_model(
        self,
        model_name: str,
        model_version: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Rows:
        """Predictions of one version of a model, or of all its versions, newest first."""
        named = {"model_name": model_name}
        if model_version is not None:
            named["model_version"] = model_version
        order = (ModelPrediction.predicted_at.desc(),)
        return self._many(*self._is(**named), order=order, limit=limit, offset=offset)

    def get_model_performance(self, model_name: str, model_version: str) -> dict[str, Any]:
        """How often one version of a model was right, counted in PostgreSQL.

        Returns
        -------
        dict
            ``accuracy``, ``precision``, ``recall`` (NaN where they are not defined);
            ``true_positives``, ``false_positives``, ``false_negatives``, ``true_negatives``;
            ``evaluated``, the predictions of which the truth is known, and
            ``without_ground_truth``, those left out because it is not.

        Raises
        ------
        NotFoundError
            There is no prediction of that model and version; the message names the nearest.

        See Also
        --------
        confusion : the same counts with intervals and more rates.
        """
        confusion, unknown = self._counted(model_name, model_version)
        return {
            "accuracy": confusion.accuracy,
            "precision": confusion.precision,
            "recall": confusion.recall,
            "true_positives": confusion.tp,
            "false_positives": confusion.fp,
            "false_negatives": confusion.fn,
            "true_negatives": confusion.tn,
            "evaluated": confusion.n,
            "without_ground_truth": unknown,
        }

    @overload
    def evaluate(
        self,
        model_name: str,
        model_version: str,
        threshold: float | Threshold = ...,
        *,
        by: None = ...,
        amount: bool = ...,
        interval_method: IntervalMethod = ...,
        confidence_level: float = ...,
        start: Bound = ...,
        end: Bound = ...,
        common_with: Sequence[tuple[str, str]] = ...,
    ) -> Evaluation: ...
    @overload
    def evaluate(
        self,
        model_name: str,
        model_version: str,
        threshold: float | Threshold = ...,
        *,
        by: str | Sequence[str],
        amount: bool = ...,
        interval_method: IntervalMethod = ...,
        confidence_level: float = ...,
        start: Bound = ...,
        end: Bound = ...,
        common_with: Sequence[tuple[str, str]] = ...,
    ) -> GroupedEvaluation: ...
    def evaluate(
        self,
        model_name: str,
        model_version: str,
        threshold: float | Threshold = 0.5,
        *,
        by: str | Sequence[str] | None = None,
        amount: bool = False,
        interval_method: IntervalMethod = "wilson",
        confidence_level: float = 0.95,
        start: Bound = None,
        end: Bound = None,
        common_with: Sequence[tuple[str, str]] = (),
    ) -> Evaluation | GroupedEvaluation:
        """Evaluate the scores of one version of a model, counted inside PostgreSQL.

        The numbers are those of :func:`synfin_analytics.evaluate` over the same rows, with
        ``fraud_probability`` as the score and ``ground_truth`` as the label. What leaves the
        database are counts: by score, by day, by card of a day; for a bootstrap by cluster.

        Parameters
        ----------
        model_name, model_version
            Which model.
        threshold
            A score at the threshold or above is an alert, whatever ``prediction`` says.
        by
            Column or columns of ``transactions`` to group by.
        amount
            Sum up the transactions' amounts too, for costs.
        interval_method, confidence_level
            Interval of proportions.
        start, end
            Only transactions at or after ``start`` and before ``end``; a date without a time is its
            midnight UTC.
        common_with
            Names and versions of other models: only transactions whose truth and score these know
            too.

        Raises
        ------
        NotFoundError
            There is no prediction of that model and version, or no such column in
            ``transactions``.
        ArgumentError
            There is none of these dates, or shared with the others; predictions with a ground
            truth have no ``fraud_probability``.
        """
        check_interval(interval_method, confidence_level)
        _check_version(model_name, model_version)
        at = as_threshold(threshold)
        self._flush()
        rows = ScoredPredictions(
            self.session, model_name, model_version, start, end, tuple(common_with)
        )
        names = () if by is None else check_groups(by)
        counts, rows = rows.by_score(names, amount=amount)
        if not len(counts):
            raise self._unknown(model_name, model_version)
        groups = split_counts(counts, names)
        if by is not None:
            return grouped(names, groups, at, interval_method, confidence_level, rows)
        ((_, of),) = groups
        return Evaluation(of, at, interval_method, confidence_level, rows)

    def compare_models(
        self,
        models: Sequence[tuple[str, str]],
        threshold: float | Threshold = 0.5,
        *,
        cluster: str | None = None,
        metrics: Sequence[str] = DEFAULT,
        n_resamples: int = 1000,
        seed: int = 0,
        confidence_level: float = 0.95,
        k: int = 100,
        day: str = "timestamp",
        entity: str = "customer_id",
        max_fpr: float = 0.01,
        cost_per_alert: float | None = None,
        recovery_rate: float = 1.0,
    ) -> Comparison:
        """Compare models that predicted the same transactions, with intervals of the difference.

        Parameters
        ----------
        models
            Names and versions, as ``[("forest", "1.0"), ("logit", "1.0")]``; the first is what
            the others are compared with.
        threshold, cluster, metrics, n_resamples, seed, confidence_level
            As in :func:`synfin_analytics.compare_models`; ``cluster`` is a column of
            ``transactions``.
        k, day, entity, max_fpr, cost_per_alert, recovery_rate
            Parameters of the metrics that have some; ``day`` and ``entity`` are columns of
            ``transactions``.

        Raises
        ------
        NotFoundError
            There is no prediction of a model, no such column, or a metric has no bootstrap.
        ArgumentError
            ``models`` names none, the models are not of the same rows, or an argument is out of
            range.
        """
        if not models or not all(_is_version(one) for one in models):
            raise ArgumentError(
                "`models` must be names and versions, such as [('forest', '1.0'), "
                f"('logit', '1.0')]; got {format_value(models)}."
            )
        evaluations = {
            f"{name} {version}": self.evaluate(
                name,
                version,
                threshold,
                confidence_level=confidence_level,
                amount="cost" in metrics,
            )
            for name, version in models
        }
        options = Options(k, day, entity, max_fpr, cost_per_alert, recovery_rate)
        return compare(
            evaluations,
            cluster=cluster,
            metrics=metrics,
            n_resamples=n_resamples,
            seed=seed,
            options=options,
        )

    def confusion(self, model_name: str, model_version: str) -> Confusion:
        """Confusion of one version of a model, over the predictions of which the truth is known."""
        return self._counted(model_name, model_version)[0]

    def _counted(self, model_name: str, model_version: str) -> tuple[Confusion, int]:
        _check_version(model_name, model_version)
        self._flush()
        said, truth = ModelPrediction.prediction, ModelPrediction.ground_truth
        counts = self.session.execute(
            select(
                func.count().filter(said & truth).label("tp"),
                func.count().filter(said & ~truth).label("fp"),
                func.count().filter(~said & truth).label("fn"),
                func.count().filter(~said & ~truth).label("tn"),
                func.count().filter(truth.is_(None)).label("unknown"),
            ).where(*self._is(model_name=model_name, model_version=model_version))
        ).one()
        confusion = Confusion(counts.tp, counts.fp, counts.fn, counts.tn)
        if not confusion.n and not counts.unknown:
            raise self._unknown(model_name, model_version)
        return confusion, int(counts.unknown)

    def _unknown(self, model_name: str, model_version: str) -> SynfinError:
        versions = select(ModelPrediction.model_name, ModelPrediction.model_version).distinct()
        known = [f"{name} {version}" for name, version in self.session.execute(versions)]
        wanted = f"{model_name} {model_version}"
        if wanted in known:  # it is there, but not for what was asked
            return ArgumentError(
                f"There is no prediction of {wanted} within this range of dates (or, where models "
                "are compared, for the same labelled transactions)."
            )
        return NotFoundError("model", wanted, known or ["none"], where="'model_predictions'")


def _check_version(model_name: Any, model_version: Any) -> None:
    check_string(model_name, "model_name")
    check_string(model_version, "model_version", example="1.0")


def _is_version(model: Any) -> bool:
    return (
        isinstance(model, tuple | list)
        and len(model) == 2
        and all(isinstance(one, str) for one in model)
    )
