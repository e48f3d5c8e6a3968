"""The numbers of reports of stored rows from the cache that processes share, if there is one.

What is stored are the results: counts, metrics, and tables by group. Rows stay in the database, and
so do the names of merchants, who may be persons.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from synfin_analytics._core.codec import Codec
from synfin_analytics.database.cache import cached
from synfin_analytics.database.models import Transaction
from synfin_analytics.metrics._score_counts import ScoreCounts
from synfin_analytics.metrics._weights import LabelWeights
from synfin_analytics.metrics.bootstrap import Bootstrap, MetricOptions
from synfin_analytics.metrics.comparison import Comparison
from synfin_analytics.metrics.drift import Drift
from synfin_analytics.metrics.evaluation import Evaluation, Threshold
from synfin_analytics.metrics.grouped import GroupedEvaluation
from synfin_analytics.metrics.nowcast import FraudRateNowcast
from synfin_analytics.metrics.topk import TopK
from synfin_analytics.reports._loaded import LoadedRows
from synfin_analytics.reports._results import Settings
from synfin_analytics.reports._sources import Knowledge, LabelDelays, PredictionData
from synfin_analytics.repositories._prediction_counts import ScoredPredictions
from synfin_analytics.repositories._validation import translate_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy.orm import Session

_CLASSES = (
    Bootstrap, Comparison, Drift, Evaluation, FraudRateNowcast, GroupedEvaluation, Knowledge,
    LabelDelays, LabelWeights, LoadedRows, MetricOptions, PredictionData, ScoreCounts,
    ScoredPredictions, Settings, Threshold, TopK,
)  # fmt: skip


def cached_results(
    session: Session,
    name: str,
    question: object,
    compute: Callable[[], dict[str, Any]],
    *,
    tables: Iterable[str] = (),
    enabled: bool,
) -> dict[str, Any]:
    """Return the results of a report from the cache, or compute them; and when they were computed.

    Parameters
    ----------
    session
        Where the rows are.
    name
        Name of the report, for the log.
    question
        All that the results depend on, besides the data.
    compute
        Computes the results, which must not contain personal data.
    tables
        Tables that they are computed from, besides the transactions.
    enabled
        Whether the cache may be used.

    Returns
    -------
    dict
        The results, and ``created_at``.
    """

    def measure() -> dict[str, Any]:
        return {**compute(), "created_at": dt.datetime.now(dt.UTC)}

    with translate_errors():
        session.flush()  # what is pending counts too
    return cached(
        session.connection(),
        name,
        question,
        {Transaction.__tablename__, *tables},
        measure,
        # Rows in memory are those of the process that has computed the report.
        Codec(_CLASSES, {"session": session, "loaded": None}),
        enabled=enabled,
    )
