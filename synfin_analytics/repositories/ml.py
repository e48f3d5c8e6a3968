"""Features of transactions, and what models predicted of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from synfin_analytics.exceptions import NotFoundError
from synfin_analytics.metrics.confusion import Confusion
from synfin_analytics.models import MLFeatures, ModelPrediction
from synfin_analytics.repositories.base import BaseRepository

if TYPE_CHECKING:
    from synfin_analytics.repositories.base import Rows


class MLFeaturesRepository(BaseRepository[MLFeatures]):
    """Engineered features."""

    model = MLFeatures

    def get_by_transaction_id(self, transaction_id: str) -> MLFeatures | None:
        """Features of a transaction; each has them once."""
        return self._one(transaction_id=transaction_id)


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

    def confusion(self, model_name: str, model_version: str) -> Confusion:
        """Confusion of one version of a model, over the predictions of which the truth is known."""
        return self._counted(model_name, model_version)[0]

    def _counted(self, model_name: str, model_version: str) -> tuple[Confusion, int]:
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
            versions = select(ModelPrediction.model_name, ModelPrediction.model_version).distinct()
            known = [f"{name} {version}" for name, version in self.session.execute(versions)]
            wanted = f"{model_name} {model_version}"
            raise NotFoundError("model", wanted, known or ["none"], where="'model_predictions'")
        return confusion, int(counts.unknown)
