"""Scorers for scikit-learn: metrics that need amounts, times and customers, which it routes.

They compute what :func:`~synfin_analytics.evaluate` computes of the same rows. scikit-learn is
imported when a scorer is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from synfin_analytics._core.classifiers import mark_fraud
from synfin_analytics._core.lookup import import_optional
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.metrics._evaluate import LABEL, SCORE, evaluate, frame_of_arrays, to_series
from synfin_analytics.metrics.curve import check_costs
from synfin_analytics.metrics.evaluation import check_threshold
from synfin_analytics.metrics.topk import check_k

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synfin_analytics.metrics.evaluation import Evaluation

#: Methods of a classifier that rank, and the one that decides.
_SCORES, _DECISION = ("predict_proba", "decision_function"), "predict"
_TIMESTAMP, _CUSTOMER = "timestamp", "customer"


class Scorer(Protocol):
    """A scorer of scikit-learn: ``scoring=`` of ``cross_validate``, ``GridSearchCV`` and others.

    Examples
    --------
    >>> import sklearn
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     scorer = make_value_detection_scorer().set_score_request(amount="value")
    """

    def __call__(
        self,
        estimator: object,
        X: object,  # noqa: N803 - scikit-learn's name
        y_true: object,
        **metadata: object,
    ) -> float:
        """Return the score of a fitted estimator; higher is better."""

    def set_score_request(self, **requests: bool | str | None) -> Scorer:
        """Name the metadata: True if it has the same name, or another name."""


def make_card_precision_scorer(k: int = 100, *, pos_label: object = None) -> Scorer:
    """Make a scorer of card precision@k: how many of the ``k`` cards of a day have fraud.

    It ranks by ``predict_proba`` or ``decision_function`` and equals
    :meth:`Evaluation.card_precision_at_k`.

    Parameters
    ----------
    k
        Cards that are reviewed in a day.
    pos_label
        The label of fraud; by default labels are 1 or true for fraud.

    Returns
    -------
    Scorer
        It needs the metadata ``timestamp`` and ``customer`` (or cards), for each row: see the
        notes.

    Raises
    ------
    ArgumentError
        ``k`` is not a whole number of at least 1.
    MissingDependencyError
        scikit-learn is not installed.

    Notes
    -----
    Metadata reach a scorer if metadata routing is enabled, ``params=`` has them, and the scorer
    requests them. It does if routing is enabled when it is made; otherwise, or for other names,
    call ``scorer.set_score_request(timestamp=True, customer="card_id")``.

    Examples
    --------
    >>> import sklearn
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_validate
    >>> from synfin_analytics import PrequentialSplit
    >>> days = np.repeat(np.arange("2026-03-01", "2026-03-09", dtype="M8[D]"), 2)
    >>> X, y = np.tile([[1.0], [5.0]], (8, 1)), np.tile([0, 1], 8)
    >>> cv = PrequentialSplit(2, train="2d", delay="1d", test="2d", timestamps=days)
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     scores = cross_validate(
    ...         LogisticRegression(),
    ...         X,
    ...         y,
    ...         cv=cv,
    ...         scoring=make_card_precision_scorer(k=1),
    ...         params={"timestamp": days, "customer": np.arange(16)},
    ...     )
    >>> scores["test_score"]
    array([1., 1.])
    """
    return _make_scorer(
        _card_precision,
        _SCORES,
        (_TIMESTAMP, _CUSTOMER),
        k=check_k(k),
        pos_label=pos_label,
    )


def make_value_detection_scorer(
    *, threshold: float | None = 0.5, pos_label: object = None
) -> Scorer:
    """Make a scorer of the value detection rate: the share of the fraud value that is alerted.

    It equals :attr:`Evaluation.value_detection_rate`.

    Parameters
    ----------
    threshold
        A probability at the threshold or above is an alert. None takes the decisions of the model
        itself (``predict``), as of one whose threshold was tuned.
    pos_label
        The label of fraud; by default labels are 1 or true for fraud.

    Returns
    -------
    Scorer
        It needs the metadata ``amount`` of each row and takes ``sample_weight``: see the notes of
        :func:`make_card_precision_scorer`.

    Raises
    ------
    ArgumentError
        ``threshold`` is not a score from 0 to 1.
    MissingDependencyError
        scikit-learn is not installed.

    Examples
    --------
    >>> import sklearn
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = np.array([[1.0], [2.0], [5.0], [6.0]]), [0, 1, 1, 1]
    >>> model = LogisticRegression(C=100).fit(X[[0, 2]], [0, 1])
    >>> with sklearn.config_context(enable_metadata_routing=True):
    ...     make_value_detection_scorer()(model, X, y, amount=[10, 20, 40, 20])
    0.75
    """
    return _make_scorer(
        _value_detection_rate,
        _choose_method(threshold),
        ("amount",),
        threshold=threshold,
        pos_label=pos_label,
    )


def make_cost_scorer(
    cost_per_alert: float,
    recovery_rate: float = 1.0,
    *,
    threshold: float | None = 0.5,
    pos_label: object = None,
) -> Scorer:
    """Make a scorer of the cost; since higher scores are better, it is negative.

    It equals ``-evaluation.cost(cost_per_alert, recovery_rate)``, see
    :meth:`Evaluation.cost_curve`. With ``TunedThresholdClassifierCV``, it finds the threshold of
    the lowest cost.

    Parameters
    ----------
    cost_per_alert
        Cost of reviewing an alert, in the currency of the amounts.
    recovery_rate
        Share of the value of a caught fraud that is saved, from 0 to 1.
    threshold, pos_label
        As for :func:`make_value_detection_scorer`.

    Returns
    -------
    Scorer
        It needs the metadata ``amount`` of each row and takes ``sample_weight``: see the notes of
        :func:`make_card_precision_scorer`.

    Raises
    ------
    ArgumentError
        An argument is out of range.
    MissingDependencyError
        scikit-learn is not installed.

    Examples
    --------
    >>> import sklearn
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = np.array([[1.0], [2.0], [5.0], [6.0]]), [0, 1, 1, 1]
    >>> model = LogisticRegression(C=100).fit(X[[0, 2]], [0, 1])
    >>> with sklearn.config_context(enable_metadata_routing=True):  # 2 alerts, 20 missed
    ...     make_cost_scorer(cost_per_alert=5)(model, X, y, amount=[10, 20, 40, 20])
    -30.0
    """
    check_costs(cost_per_alert, recovery_rate)
    return _make_scorer(
        _cost,
        _choose_method(threshold),
        ("amount",),
        greater_is_better=False,
        cost_per_alert=cost_per_alert,
        recovery_rate=recovery_rate,
        threshold=threshold,
        pos_label=pos_label,
    )


def _make_scorer(
    score: Callable[..., float],
    response_method: str | Sequence[str],
    metadata: Sequence[str],
    *,
    greater_is_better: bool = True,
    **options: object,
) -> Scorer:
    """Make a scorer; if metadata routing is enabled, one that requests its metadata."""
    purpose = "A scorer for scikit-learn"
    metrics = import_optional("sklearn.metrics", extra="models", purpose=purpose)
    sklearn = import_optional("sklearn", extra="models", purpose=purpose)
    scorer: Scorer = metrics.make_scorer(
        score, greater_is_better=greater_is_better, response_method=response_method, **options
    )
    if sklearn.get_config()["enable_metadata_routing"]:
        scorer.set_score_request(**dict.fromkeys(metadata, True))
    return scorer


def _choose_method(threshold: float | None) -> str:
    if threshold is None:
        return _DECISION
    check_threshold(threshold)
    return _SCORES[0]


# -- Scores: functions of a module, since scorers are pickled --------------------------------------


def _card_precision(
    y_true: Any,
    y_score: Any,
    *,
    timestamp: Any = None,
    customer: Any = None,
    k: int,
    pos_label: object,
) -> float:
    scores = np.asarray(y_score, dtype=np.float64)
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):  # of a decision function
        _, ranks = np.unique(scores, return_inverse=True)
        scores = ranks / max(int(ranks.max()), 1)
    frame, _ = frame_of_arrays(_is_fraud(y_true, pos_label), scores)
    for name, values in ((_TIMESTAMP, timestamp), (_CUSTOMER, customer)):
        _check_passed(values, name)
        column = to_series(values, name, "Pass one value for each row.")
        if len(column) != len(frame):
            raise ArgumentError(
                f"`{name}` must have one value for each of the {len(frame):,} rows; got "
                f"{len(column):,}."
            )
        frame[name] = column
    evaluation = evaluate(frame, LABEL, SCORE)
    return evaluation.card_precision_at_k(k, day=_TIMESTAMP, entity=_CUSTOMER).value


def _value_detection_rate(
    y_true: Any,
    y_score: Any,
    *,
    amount: Any = None,
    sample_weight: Any = None,
    threshold: float | None,
    pos_label: object,
) -> float:
    evaluation = _evaluate_alerts(y_true, y_score, amount, sample_weight, threshold, pos_label)
    return evaluation.value_detection_rate


def _cost(
    y_true: Any,
    y_score: Any,
    *,
    amount: Any = None,
    sample_weight: Any = None,
    cost_per_alert: float,
    recovery_rate: float,
    threshold: float | None,
    pos_label: object,
) -> float:
    evaluation = _evaluate_alerts(y_true, y_score, amount, sample_weight, threshold, pos_label)
    return evaluation.cost(cost_per_alert, recovery_rate)


def _evaluate_alerts(
    y_true: Any,
    y_score: Any,
    amount: Any,
    sample_weight: Any,
    threshold: float | None,
    pos_label: object,
) -> Evaluation:
    _check_passed(amount, "amount")
    scores = np.asarray(y_score)
    if scores.dtype.kind != "f":  # decisions: of `predict`, or of a threshold that is being tuned
        scores = np.asarray(_is_fraud(y_score, pos_label), dtype=np.float64)
    return evaluate(
        _is_fraud(y_true, pos_label),
        scores,
        threshold=0.5 if threshold is None else threshold,
        amount=amount,
        weight=sample_weight,
    )


def _is_fraud(labels: Any, pos_label: object) -> Any:
    """Return labels as 1 or true for fraud."""
    return labels if pos_label is None else mark_fraud(labels, pos_label)


def _check_passed(values: object, name: str) -> None:
    if values is None:
        raise ArgumentError(
            f"`{name}` must be passed to the scorer as metadata: "
            "sklearn.set_config(enable_metadata_routing=True), "
            f"scorer.set_score_request({name}=True) and params={{{name!r}: values}}."
        )
