"""The handbook's baseline: its features by definition, its sizes exactly, its figures nearly."""

import datetime as dt
import importlib
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from handbook_data import generated
from polars.testing import assert_frame_equal

from synfin_analytics.exceptions import MissingDependencyError

FOLDER = Path(__file__).parents[2] / "benchmarks"
DAY = dt.timedelta(days=1)


@pytest.fixture
def handbook(monkeypatch: pytest.MonkeyPatch):
    """The script, which lies beside the modules that it uses."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("handbook")
    for name in ("handbook", "_place"):
        del sys.modules[name]


def renamed(handbook, raw: pl.DataFrame) -> pl.DataFrame:
    """The rows as they come back from the table."""
    return raw.select(
        pl.col(original).alias(name) for original, name in handbook.COLUMNS.items()
    ).with_columns(
        pl.col("transaction_id", "customer_id", "merchant_id").cast(pl.Int64),
        pl.col("timestamp").dt.replace_time_zone("UTC"),
        pl.col("is_fraud") == 1,
    )


def by_definition(rows: pl.DataFrame) -> pl.DataFrame:
    """The 14 features in the words of the data's README, one row after the other."""
    table = rows.rows(named=True)
    features = []
    for place, row in enumerate(table):
        at = row["timestamp"]
        until = table[: place + 1]
        row_features = {"weekend": int(at.weekday() in (5, 6)), "night": int(at.hour <= 6)}
        for days in (1, 7, 30):
            window = [
                candidate["amount"]
                for candidate in until
                if candidate["customer_id"] == row["customer_id"]
                and candidate["timestamp"] > at - days * DAY
            ]
            row_features[f"customer_count_{days}d"] = len(window)
            row_features[f"customer_mean_amount_{days}d"] = sum(window) / len(window)
            window = [
                candidate["is_fraud"]
                for candidate in until
                if candidate["merchant_id"] == row["merchant_id"]
                and at - (7 + days) * DAY < candidate["timestamp"] <= at - 7 * DAY
            ]
            row_features[f"terminal_count_{days}d"] = len(window)
            row_features[f"terminal_risk_{days}d"] = sum(window) / len(window) if window else 0.0
        features.append(row_features)
    groups = ("weekend", "night", "customer", "terminal")
    names = sorted(features[0], key=lambda name: groups.index(name.split("_")[0]))
    return pl.DataFrame(features).select(names)


@pytest.mark.parametrize("seed", range(3))
def test_the_features_are_those_of_the_definition(handbook, seed):
    raw = generated(400, cards=3, seed=seed).with_columns(
        pl.col("TERMINAL_ID") % 4, pl.col("TX_DATETIME").dt.truncate("6h")
    )
    rows = renamed(handbook, raw)
    want = by_definition(rows)
    assert ("amount", *want.columns) == handbook.FEATURES
    assert_frame_equal(handbook.add_features(rows).select(want.columns), want, abs_tol=1e-9)


def test_all_rows_come_back_in_the_order_of_the_file(handbook, manager, tmp_path, capsys):
    raw = generated(3000)
    raw.write_parquet(tmp_path / "transactions.parquet")
    rows = handbook.load(tmp_path / "transactions.parquet", manager)
    assert_frame_equal(rows.drop("row"), renamed(handbook, raw))
    assert "2,994 rows from the table, 6 rejected ones from the file" in capsys.readouterr().out


def test_the_command_prints_our_figures_beside_the_published_ones(handbook, server, tmp_path):
    """On the server of this run, in databases of its own that are gone afterwards."""
    file = tmp_path / "handbook" / "transactions.parquet"
    file.parent.mkdir()
    generated(8000).write_parquet(file)
    result = CliRunner().invoke(handbook.main, ["--data", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "14 features of 8,000 rows" in result.output
    assert re.search(r"^training, 2018-07-25 00:00 to 2018-08-01 00:00 UTC: ", result.output, re.M)
    for model, (figures, tolerance) in handbook.PUBLISHED.items():
        for metric, published in zip(handbook.METRICS, figures, strict=True):
            line = (
                rf"^{model} +{metric} +[01]\.\d{{3}} +{published:.3f} +(NOT )?within {tolerance}$"
            )
            assert re.search(line, result.output, re.M) or (model == "XGBoost" and not xgboost())


def test_the_command_says_where_it_looked_for_the_file(handbook, tmp_path):
    result = CliRunner().invoke(handbook.main, ["--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "No handbook/transactions.parquet in" in result.output


def xgboost() -> bool:
    return importlib.util.find_spec("xgboost") is not None


def test_without_xgboost_the_other_models_are_there_and_the_command_is_named(
    handbook, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "xgboost", None)
    names = [name for name, _ in handbook.models()]
    assert names == ["logistic regression", "decision tree, depth 2", "random forest"]
    assert 'pip install "synfin-analytics[xgboost]"' in capsys.readouterr().out


def test_without_scikit_learn_the_command_is_named(handbook, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingDependencyError, match=re.escape("synfin-analytics[models]")):
        next(handbook.models())


def test_the_package_imports_no_library_of_models():
    code = (
        "import sys, synfin_analytics as s; [getattr(s, name) for name in dir(s)];"
        "sys.exit(', '.join({'sklearn', 'xgboost'} & {*sys.modules}) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
