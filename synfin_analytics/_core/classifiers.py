"""Scores of a fitted classifier of scikit-learn, which is not imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from synfin_analytics._core.formatting import join_words
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from synfin_analytics._core.types import Floats

NO_PROBABILITY = (
    "The scores are no probabilities: the model has a decision function only, which was mapped to "
    "0 to 1 with 1 / (1 + exp(-x)), so that a score of 0.5 is a decision of 0. Ranks are not "
    "affected."
)


class ClassifierScores(NamedTuple):
    """Scores of rows.

    Attributes
    ----------
    scores
        From 0 to 1, higher for likely fraud.
    pos_label
        The class that means fraud.
    remarks
        Sentences on how the scores were obtained.
    classes
        Both classes of the model.
    """

    scores: Floats
    pos_label: Any
    remarks: tuple[str, ...]
    classes: tuple[Any, ...]


def score_classifier(
    model: Any,
    X: Any,  # noqa: N803 - scikit-learn's name
    pos_label: Any = None,
) -> ClassifierScores:
    """Score rows with a classifier: its probabilities, or its decision function from 0 to 1.

    Parameters
    ----------
    model
        A fitted classifier.
    X
        Its features.
    pos_label
        The class that means fraud; by default the second, unless classes are texts.

    Raises
    ------
    ArgumentError
        The model is not a fitted classifier of two classes, has no class ``pos_label``, or has
        classes that are texts, whose order says nothing, without ``pos_label``.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> model = LogisticRegression().fit([[1], [5]], ["genuine", "fraud"])
    >>> score_classifier(model, [[5]], "fraud").scores.round(2)
    array([0.81])
    """
    name = type(model).__name__
    classes = _check_classes(model, name)
    if pos_label is None:
        if isinstance(classes[1], str):  # in alphabetical order, "ok" is after "fraud"
            raise ArgumentError(
                f"`pos_label` must be the class that means fraud: those of {name} are "
                f"{join_words([*map(repr, classes)])}. Say which one, such as "
                f"pos_label={classes[0]!r}."
            )
        pos_label = classes[1]
    if pos_label not in classes:
        raise ArgumentError(
            f"`pos_label` must be a class of {name}, {join_words([*map(repr, classes)])}; got "
            f"{pos_label!r}."
        )
    remarks = [] if pos_label in (1, True) else [f"The class {pos_label!r} counts as fraud."]
    position = classes.index(pos_label)
    if hasattr(model, "predict_proba"):
        scores = _call(model.predict_proba, X, name)[:, position]
    else:
        from scipy import special

        decision = _call(model.decision_function, X, name)
        scores = special.expit(decision if position else -decision)
        remarks.append(NO_PROBABILITY)
    return ClassifierScores(scores, pos_label, tuple(remarks), tuple(classes))


def _call(method: Callable[[Any], Any], X: Any, name: str) -> Floats:  # noqa: N803
    try:
        return np.asarray(method(X), dtype=np.float64)
    except (TypeError, ValueError) as error:
        # The first sentence says what is wrong; what follows may quote cells, or advise on models.
        problem = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        raise ArgumentError(
            f"`X` must be features as {name} was fitted on; it raises {type(error).__name__}: "
            f"{problem}."
        ) from None


def mark_fraud(
    labels: Any, pos_label: Any, classes: Sequence[Any] | None = None
) -> pd.Series[bool]:
    """Return whether each label is that of fraud, missing where the label is.

    Raises
    ------
    ArgumentError
        A label is not one of the model's classes.

    Examples
    --------
    >>> mark_fraud(["fraud", "genuine", None], "fraud", ["fraud", "genuine"]).tolist()
    [True, False, <NA>]
    """
    array = np.asarray(labels)
    values = pd.Series(array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array)
    unknown = values[:0] if classes is None else values[~values.isin([*classes]) & values.notna()]
    if classes is not None and len(unknown):
        raise ArgumentError(
            f"Labels must be classes of the model, {join_words([*map(repr, classes)])}; "
            f"{len(unknown):,} are not (the first at position {unknown.index[0]:,}). Recode the "
            "labels as those that the model was fitted on."
        )
    marked: pd.Series[bool] = (values == pos_label).astype("boolean").mask(values.isna())
    return marked


def _check_classes(model: Any, name: str) -> list[Any]:
    if not hasattr(model, "predict_proba") and not hasattr(model, "decision_function"):
        raise ArgumentError(
            "`model` must be a classifier of scikit-learn with predict_proba or decision_function; "
            f"got {name}."
        )
    if isinstance(model, type):
        raise ArgumentError(
            f"`model` must be a fitted classifier; got the class {model.__name__}: create an "
            f"instance, and call its fit(X, y) first."
        )
    classes = getattr(model, "classes_", None)
    if classes is None:
        raise ArgumentError(f"`model` must be fitted: call {name}.fit(X, y) first.")
    if len(classes) != 2:
        raise ArgumentError(f"`model` must know two classes; {name} knows {len(classes):,}.")
    return list(np.asarray(classes).tolist())
