"""Scores of a scikit-learn classifier as a frame to report on; scikit-learn is not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synfin_analytics._core.arguments import format_value
from synfin_analytics._core.classifiers import NO_PROBABILITY, mark_fraud, score_classifier
from synfin_analytics._core.dataframes import check_columns, collect, is_frame, open_frame
from synfin_analytics._core.formatting import join_words
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Columns of the frame that is made.
LABEL, SCORE = "y", "score"


@dataclass(frozen=True)
class ScoredRows:
    """What a report on an estimator is computed from.

    Attributes
    ----------
    frame
        Labels (:data:`LABEL`), scores (:data:`SCORE`), and the columns of the caller.
    name
        Name of the model's class.
    columns
        Column of ``frame`` for each role that the caller named or passed an array for.
    by
        Columns to group by, if the caller passed arrays.
    missing
        Sections to leave out, and the reason.
    remarks
        Sentences on how the scores were obtained.
    importances
        ``feature``, ``mean``, ``size`` and ``predictions``; None if the model has none.
    """

    frame: pd.DataFrame
    name: str
    columns: Mapping[str, str]
    by: Any
    missing: Mapping[str, str]
    remarks: tuple[str, ...]
    importances: pd.DataFrame | None


def score_rows(
    model: Any,
    X: Any,  # noqa: N803 - scikit-learn's name
    y: Any,
    pos_label: Any,
    roles: Mapping[str, Any],
    by: Any,
) -> ScoredRows:
    """Score rows with a classifier.

    Parameters
    ----------
    model
        A fitted classifier.
    X, y
        Its features and the labels.
    pos_label
        The class that means fraud; by default the second, unless classes are texts.
    roles
        Columns of ``X``, or arrays, by what they mean; None for what is not known.
    by
        Columns of ``X``, or a mapping of arrays.

    Raises
    ------
    ArgumentError
        The model is not a fitted classifier of two classes, or arrays differ in length.
    """
    name = type(model).__name__
    scores, pos_label, remarks, classes = score_classifier(model, X, pos_label)
    features = collect(open_frame(X, "model_report.from_estimator")) if is_frame(X) else None
    is_fraud = mark_fraud(_to_array(y, "y", len(scores)), pos_label, classes)
    frame: dict[str, Any] = {LABEL: is_fraud, SCORE: scores}
    named = [column for column in roles.values() if isinstance(column, str)]
    arrays = {role: value for role, value in roles.items() if not isinstance(value, str | None)}
    columns = {role: value for role, value in roles.items() if isinstance(value, str)}
    columns |= {role: role for role in arrays}
    if isinstance(by, Mapping):
        arrays |= {str(group): values for group, values in by.items()}
        by = list(map(str, by))
    elif by is not None:
        groups = [by] if isinstance(by, str) else by
        named += [
            column for group in groups for column in ([group] if isinstance(group, str) else group)
        ]
    frame |= {key: _to_array(values, key, len(scores)) for key, values in arrays.items()}
    frame |= _take_columns(X, features, [column for column in named if column not in frame])
    importances, reason = _find_importances(model, features, len(scores))
    missing = {"importances": reason} if reason else {}
    if not hasattr(model, "predict_proba"):
        missing["calibration"] = NO_PROBABILITY
    return ScoredRows(pd.DataFrame(frame), name, columns, by, missing, remarks, importances)


def _take_columns(X: Any, features: Any, names: Sequence[str]) -> dict[str, Any]:  # noqa: N803
    """Return columns of the features."""
    if not names:
        return {}
    if features is None:
        raise ArgumentError(
            f"`X` must be a DataFrame if columns of it are named; got {format_value(X)}. Pass "
            f"arrays instead of {join_words([*map(repr, dict.fromkeys(names))])}."
        )
    check_columns(names, features.columns)
    return {name: features[name].to_pandas().reset_index(drop=True) for name in names}


def _to_array(values: Any, name: str, length: int) -> NDArray[Any]:
    array = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (length,):
        raise ArgumentError(
            f"`{name}` must have one value for each of the {length:,} rows of `X`; got an array of "
            f"shape {array.shape}."
        )
    return array


def _find_importances(model: Any, features: Any, n_rows: int) -> tuple[pd.DataFrame | None, str]:
    """Return the importances of the features; or None, and the reason."""
    steps = getattr(model, "steps", None)
    final = steps[-1][1] if steps else model
    values = getattr(final, "feature_importances_", None)
    if values is None:
        values = getattr(final, "coef_", None)
    if values is None:
        return None, f"{type(final).__name__} has no feature importances."
    importances = np.asarray(values, dtype=np.float64).reshape(-1)
    names = _feature_names(model, final, features, len(importances))
    frame = pd.DataFrame(
        {
            "feature": names,
            "mean": importances,
            "size": np.abs(importances),
            "predictions": n_rows,
        }
    )
    return frame.sort_values("size", ascending=False, kind="stable", ignore_index=True), ""


def _feature_names(model: Any, final: Any, features: Any, count: int) -> list[str]:
    """Return the names of the features that the last step of a model sees."""
    candidates = [getattr(final, "feature_names_in_", None)]
    if final is not model and hasattr(model[:-1], "get_feature_names_out"):
        try:
            candidates.append(model[:-1].get_feature_names_out())
        except (AttributeError, ValueError):  # a step that does not name its features
            candidates.append(None)
    candidates.append(None if features is None else features.columns)
    for names in candidates:
        if names is not None and len(names) == count:
            return [str(name) for name in names]
    return [f"feature {position}" for position in range(count)]
