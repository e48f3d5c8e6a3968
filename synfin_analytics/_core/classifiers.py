"""Scores of a fitted classifier of scikit-learn, which is not imported."""

from __future__ import annotations

import re
from dataclasses import dataclass
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
    classifier = Classifier.open(model, pos_label)
    scores = classifier.score(X)
    return ClassifierScores(
        scores, classifier.pos_label, classifier.remarks, tuple(classifier.classes)
    )


@dataclass(frozen=True)
class Classifier:
    """A fitted classifier of two classes, one of which means fraud.

    Attributes
    ----------
    model
        The classifier.
    classes
        Its classes.
    pos_label
        The class that means fraud.
    """

    model: Any
    classes: tuple[Any, ...]
    pos_label: Any

    @classmethod
    def open(cls, model: Any, pos_label: Any = None) -> Classifier:
        """Check a classifier; ``pos_label`` is as for :func:`score_classifier`."""
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
        return cls(model, tuple(classes), pos_label)

    @property
    def name(self) -> str:
        """Name of the model's class."""
        return type(self.model).__name__

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences on how the scores are obtained."""
        remarks = []
        if self.pos_label not in (1, True):
            remarks.append(f"The class {self.pos_label!r} counts as fraud.")
        if not hasattr(self.model, "predict_proba"):
            remarks.append(NO_PROBABILITY)
        return tuple(remarks)

    def score(
        self,
        X: Any,  # noqa: N803 - scikit-learn's name
        described: str = "`X`",
    ) -> Floats:
        """Score rows, from 0 to 1; ``described`` is what the message of an error calls them."""
        position = self.classes.index(self.pos_label)
        if hasattr(self.model, "predict_proba"):
            scores: Floats = self._call(self.model.predict_proba, X, described)[:, position]
            return scores
        from scipy import special

        decision = self._call(self.model.decision_function, X, described)
        return np.asarray(special.expit(decision if position else -decision))

    def _call(
        self,
        method: Callable[[Any], Any],
        X: Any,  # noqa: N803
        described: str,
    ) -> Floats:
        try:
            return np.asarray(method(X), dtype=np.float64)
        except (TypeError, ValueError) as error:
            # The first sentence says what is wrong; what follows may advise on models.
            problem = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
            remedy = _FILL if "NaN" in problem else ""
            raise ArgumentError(
                f"{described} must be features as {self.name} was fitted on; it raises "
                f"{type(error).__name__}: {_CELLS.split(problem)[0]}.{remedy}"
            ) from None


#: Where cells begin that an error of scikit-learn quotes.
_CELLS = re.compile(r"(?:: |\s)(?=['\"\[])")
_FILL = (
    " Fill or drop missing values, or fit a model that accepts them, such as "
    "HistGradientBoostingClassifier."
)


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
