# ruff: noqa: N803, ARG002 - the parameters of scikit-learn
"""skore's EstimatorReport of a scored file: run by reports.py in an environment of its own."""

import base64
import io
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import skore
from sklearn.base import BaseEstimator, ClassifierMixin


class StoredScores(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose probabilities are the scores of the file."""

    classes_ = np.array([0, 1])

    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        score = X["score"].to_numpy()
        return np.column_stack([1 - score, score])

    def predict(self, X):
        return (X["score"].to_numpy() >= 0.5).astype(int)

    def __sklearn_is_fitted__(self):
        return True


def main(data: str, page: str) -> None:
    """Write the HTML and the plots that a notebook shows, one call each."""
    mpl.use("agg")
    df = pd.read_csv(data)
    report = skore.EstimatorReport(
        StoredScores(), X_test=df[["score"]], y_test=df["is_fraud"], pos_label=1
    )
    parts = [report._repr_html_(), report.metrics.summarize().frame().to_frame().to_html()]
    for name, display in {
        "Confusion matrix": report.metrics.confusion_matrix(),
        "ROC curve": report.metrics.roc(),
        "Precision-recall curve": report.metrics.precision_recall(),
        "Calibration curve": report.inspection.calibration_curve(),
    }.items():
        figure, image = display.plot(), io.BytesIO()
        figure.savefig(image, format="png")
        encoded = base64.b64encode(image.getvalue()).decode()
        parts.append(f'<h2>{name}</h2><img alt="" src="data:image/png;base64,{encoded}">')
    Path(page).write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
