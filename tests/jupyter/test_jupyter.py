"""How results display in a real kernel, and the code of docs/guide/jupyter.md."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import polars as pl
import pytest
from kernels import display_of, run

from synfin_analytics import (
    DatabaseConfig,
    DatabaseManager,
    TransactionRepository,
    compare_models,
    detect_patterns,
    evaluate,
    fit_baseline,
    fraud_rate,
    plot_fraud_rate,
    simulate,
    time_split,
)

HANDBOOK = Path(__file__).parents[2] / "docs" / "guide" / "jupyter.md"

RATES = """
import pandas as pd
from synfin_analytics import fraud_rate
rates = fraud_rate(pd.DataFrame({"amount": [1000.0] * 4, "is_fraud": [True, False] * 2}))
"""


@pytest.fixture(scope="module")
def small():
    """A world, a model's scores of it, and what comes of both."""
    world = simulate(customers=80, merchants=50, days=40, seed=1, output="polars")
    model = fit_baseline(world.transactions)
    scored = world.transactions.join(model.predictions, on="transaction_id")
    result = evaluate(scored, score="fraud_probability", threshold=0.05)
    return {
        "Simulation": world,
        "BaselineModel": model,
        "DetectedPatterns": detect_patterns(world.transactions),
        "Evaluation": result,
        "GroupedEvaluation": evaluate(scored, score="fraud_probability", by="channel"),
        "Comparison": compare_models(
            scored, {"a": "fraud_probability", "b": "fraud_probability"}, n_resamples=20
        ),
        "Confusion": result.confusion,
        "Threshold": result.threshold_for_alerts(10),
        "TopK": result.card_precision_at_k(5),
        "TimeSplit": time_split(world.transactions, train="20d", label_delay="3d", test="10d"),
        "Display": plot_fraud_rate(fraud_rate(world.transactions, by="channel")),
        "DatabaseConfig": DatabaseConfig(database="fraud"),
        "DatabaseManager": DatabaseManager(DatabaseConfig(database="fraud")),
    }


TABLES = ["Simulation", "DetectedPatterns", "Evaluation", "GroupedEvaluation", "Comparison",
          "Confusion", "BaselineModel"]  # fmt: skip
WORDS = ["Threshold", "TopK", "TimeSplit", "Display", "DatabaseConfig",
         "DatabaseManager"]  # fmt: skip


@pytest.mark.parametrize("kind", [*TABLES, *WORDS])
def test_a_result_has_a_short_repr(small, kind):
    text = repr(small[kind])
    assert len(text) < 600
    assert not re.search(r"0x[0-9a-f]{6}|NaN|shape:|chosen_on", text)


@pytest.mark.parametrize("kind", TABLES)
def test_a_result_with_many_numbers_shows_them_as_a_table(small, kind):
    page = small[kind]._repr_html_()
    assert "<table" in page
    assert ">None<" not in page


def test_a_simulation_says_how_large_it_is(small):
    world = small["Simulation"]
    payments = f"{world.transactions.height:,}"
    assert repr(world) == f"Simulation(80 customers, 50 merchants, {payments} transactions)"
    assert f">{payments}</td>" in world._repr_html_()


def test_a_baseline_model_says_what_it_was_trained_on(small):
    model = small["BaselineModel"]
    assert repr(model) == (
        f"BaselineModel(baseline 1.0: trained on {model.n_train:,} transactions with "
        f"{model.n_train_frauds} frauds before {model.train_end:%Y-%m-%d}; "
        f"{model.predictions.height:,} predictions from {model.test_start:%Y-%m-%d})"
    )


def test_a_repository_names_itself(session):
    assert repr(TransactionRepository(session)) == (
        "TransactionRepository(output='pandas', use_decimal=False)"
    )


def test_the_extension_shows_dataframes_with_sensible_formats(tmp_path):
    (output,) = display_of("%load_ext synfin_analytics", f"{RATES}rates", folder=tmp_path)
    assert "50.00%" in output["text/html"]
    assert "4,000.00" in output["text/plain"]


def test_without_the_extension_pandas_shows_them_as_ever(tmp_path):
    plain = display_of(f"{RATES}rates", folder=tmp_path)
    again = display_of(
        "%load_ext synfin_analytics", "%unload_ext synfin_analytics", f"{RATES}rates",
        folder=tmp_path,
    )  # fmt: skip
    assert plain == again
    assert 'class="dataframe"' in plain[0]["text/html"]


def test_pictures_are_shown_after_a_report_was_the_first_to_draw(tmp_path):
    (output,) = display_of(
        f"""{RATES}
from synfin_analytics import plot_fraud_rate
from synfin_analytics.reports._figures import draw_figure
draw_figure(lambda: plot_fraud_rate(rates), name="first", alt="")""",
        "display = plot_fraud_rate(rates)",
        folder=tmp_path,
    )
    assert "image/png" in output


def test_a_load_has_a_progress_bar_that_is_a_widget(tmp_path, manager):
    bar, report = display_of(
        "import pandas as pd\nfrom synfin_analytics import load_df",
        'load_df(pd.DataFrame({"customer_id": ["C1"]}), "customers", progress=True)',
        folder=tmp_path,
    )
    assert "application/vnd.jupyter.widget-view+json" in bar
    assert "LoadReport(customers: 1 inserted" in report["text/plain"]


def test_the_handbook_runs_cell_by_cell(tmp_path, manager):
    text = HANDBOOK.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    # Without Spark, as the page says: jupysql cannot do with half of it.
    before = ["import sys\nsys.modules['pyspark'] = None"]
    cells = [nbformat.v4.new_code_cell(source.rstrip()) for source in before + blocks]
    notebook = run(nbformat.v4.new_notebook(cells=cells), tmp_path)
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    assert not [output.text for output in outputs if output.get("name") == "stderr"]
    assert "%sql" in "".join(blocks)
    texts = [str(output.get("data", {}).get("text/plain", "")) for output in outputs]
    assert any("merchant_category" in text and "%" in text for text in texts)


def test_a_frame_of_polars_keeps_its_own_look(tmp_path):
    (output,) = display_of(
        "%load_ext synfin_analytics",
        "import polars as pl\npl.DataFrame({'amount': [1.5]})",
        folder=tmp_path,
    )
    assert repr(pl.DataFrame({"amount": [1.5]})) == output["text/plain"]
