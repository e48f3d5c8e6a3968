"""Results in a notebook: tables in words, whatever is in them is text."""

from __future__ import annotations

import re

import polars as pl
import pytest

from synfin_analytics._core.formatting import format_interval, format_metric
from synfin_analytics.metrics import Confusion, Threshold, compare_models, evaluate

NASTY = "<script>alert(1)</script>"


@pytest.fixture
def frame() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "customer_id": range(60),
            "is_fraud": [True, False, False] * 20,
            "good": [0.9, 0.2, 0.6] * 20,
            "poor": [0.4, 0.5, 0.6] * 20,
            "channel": ["pos", NASTY, None] * 20,
            "shop": range(60),
        }
    )


def cells(html: str) -> list[str]:
    assert "<script" not in html
    assert not re.search(r"\b[Nn]a[Nn]\b|<NA>|None", html)
    return re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", html)


def test_an_evaluation_shows_its_metrics_in_words(frame):
    model = evaluate(frame, score="good")
    rows = cells(model._repr_html_())
    at = rows.index("precision")
    low, high = model.confidence_interval("precision")
    assert rows[at + 1 : at + 5] == [
        format_metric("precision", model.precision),
        format_interval("precision", low, high),
        "20 of 40",
        format_metric("precision", model.prevalence),
    ]
    assert "ROC AUC" in rows


def test_what_is_not_defined_is_said_with_its_reason(frame):
    page = evaluate(frame, score="good", threshold=0.95)._repr_html_()
    assert "not defined" in cells(page)
    assert "no alerts at this threshold" in cells(page)


def test_why_a_threshold_was_chosen_is_text(frame):
    page = evaluate(frame, score="good", threshold=Threshold(0.5, NASTY))._repr_html_()
    assert "&lt;script&gt;" in page
    cells(page)


def test_groups_show_themselves_by_name_and_the_first_of_many(frame):
    rows = cells(evaluate(frame, score="good", by="channel")._repr_html_())
    assert {
        "pos (small)",
        "&lt;script&gt;alert(1)&lt;/script&gt; (small)",
        "unknown (small)",
    } <= {*rows}
    page = evaluate(frame, score="good", by="shop")._repr_html_()
    assert "60 groups by shop; 30 more: see .to_frame()" in page


def test_a_comparison_shows_differences_beside_values(frame):
    comparison = compare_models(frame, {"poor": "poor", NASTY: "good"}, n_resamples=20)
    rows = cells(comparison._repr_html_())
    at = rows.index("&lt;script&gt;alert(1)&lt;/script&gt;")
    row = comparison.to_frame().query("metric == 'roc_auc'").iloc[1]
    assert rows[at + 1] == format_metric("roc_auc", row["value"])
    assert rows[at + 4] == f"+{row['difference']:.3f}"


def test_a_confusion_shows_its_counts():
    rows = cells(Confusion(tp=3, fp=1, fn=2, tn=9400)._repr_html_())
    assert rows == ["truth", "alert", "no alert", "fraud", "3", "2", "genuine", "1", "9,400"]
