"""``synfin demo``: from nothing, or a file, to fraud rates, pictures and a page."""

import contextlib
import datetime as dt
import os
import re
import sys
from functools import partial
from types import SimpleNamespace

import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

from synfin_analytics._core.formatting import format_metric, pluralize
from synfin_analytics.cli import main
from synfin_analytics.cli.demo import DATABASE, complete_mapping
from synfin_analytics.database.config import DatabaseConfig
from synfin_analytics.database.manager import DatabaseManager
from synfin_analytics.io.load import load_df
from synfin_analytics.io.read import read_df
from synfin_analytics.repositories import ModelPredictionRepository, TransactionRepository

SMALL = ("--customers", "40", "--days", "40", "--seed", "3")


def synfin_demo(*arguments, out, code=0):
    """Run ``synfin demo``, and return what it said on one line."""
    command = ["demo", *(str(argument) for argument in arguments), "--out", str(out)]
    result = CliRunner().invoke(main, command, prog_name="synfin", terminal_width=200)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.replace("\u00a0", " ").split())


@pytest.fixture
def synfin(server, tmp_path):
    """The demo on this run's server, writing into a folder of the test."""
    return partial(synfin_demo, out=tmp_path / "out")


@contextlib.contextmanager
def opened():
    """The database that the demo works in."""
    manager = DatabaseManager(DatabaseConfig(database=DATABASE, data_dir=os.environ["DB_DATA_DIR"]))
    with contextlib.closing(manager):
        yield manager


@pytest.fixture(scope="module")
def simulated(server, tmp_path_factory):
    """What a demo without a file said, wrote and stored; the environment names a bank's server."""
    out = tmp_path_factory.mktemp("demo") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", "postgresql://ana@db.bank.invalid/fraud")
        output = synfin_demo(*SMALL, out=out)
    with opened() as manager, manager.get_session() as session:
        statistics = TransactionRepository(session).get_statistics()
        performance = ModelPredictionRepository(session).get_model_performance("baseline", "1.0")
    return SimpleNamespace(output=output, out=out, statistics=statistics, performance=performance)


def test_one_command_reports_the_fraud(simulated):
    count, frauds = simulated.statistics["total_count"], simulated.statistics["fraud_count"]
    assert count > 500
    assert f"{count:,} inserted" in simulated.output
    assert f"{frauds:,} of {pluralize(count, 'transaction')} were fraud" in simulated.output
    assert "Fraud rate by channel" in simulated.output


def test_one_command_reports_on_a_model(simulated):
    detected = simulated.performance["true_positives"]
    frauds = detected + simulated.performance["false_negatives"]
    sentence = f"The model detected {detected:,} of {pluralize(frauds, 'fraud')}"
    assert (sentence if frauds else "No transaction was fraud") in simulated.output
    assert simulated.performance["evaluated"] > 100


def test_one_command_writes_a_page_and_pictures_and_prints_their_paths(simulated):
    page = (simulated.out / "overview.html").read_text(encoding="utf-8")
    count = simulated.statistics["total_count"]
    assert f"<b>{count:,}</b><span>transactions</span>" in page
    pictures = sorted(path.name for path in simulated.out.glob("*.png"))
    assert pictures == [
        "fraud_rate_by_amount.png",
        "fraud_rate_by_channel.png",
        "fraud_rate_by_merchant_category.png",
        "fraud_rate_over_time.png",
    ]
    for name in pictures:
        with Image.open(simulated.out / name) as picture:
            assert min(picture.size) > 300
    for path in simulated.out.iterdir():
        assert str(path) in simulated.output


def test_progress_is_reported_step_by_step(simulated):
    steps = re.findall(r"\[(\d)/(\d)\]", simulated.output)
    assert steps == [(str(number), "6") for number in range(1, 7)]
    assert len(re.findall(r"\d+\.\d s\b", simulated.output)) >= 6


# -- The gradient-boosted model --------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_models(server, tmp_path_factory):
    """What a demo with enough frauds for both models printed, wrote and stored."""
    out = tmp_path_factory.mktemp("models") / "out"
    output = synfin_demo("--customers", "200", "--days", "60", "--seed", "1", out=out)
    with opened() as manager, manager.get_session() as session:
        repository = ModelPredictionRepository(session)
        models = [("baseline", "1.0"), ("gradient boosting", "1.0")]
        evaluations = {name: repository.evaluate(name, version) for name, version in models}
        features = read_df("SELECT count(*) AS n FROM ml_features", manager=manager)["n"].item()
        periods = read_df(
            "SELECT model_name, min(timestamp) AS first, count(*) AS n, "
            "count(DISTINCT timestamp::date) AS days FROM model_predictions "
            "JOIN transactions USING (transaction_id) GROUP BY model_name ORDER BY model_name",
            manager=manager,
        )
    return SimpleNamespace(
        output=output, out=out, evaluations=evaluations, features=features, periods=periods
    )  # fmt: skip


def test_the_boosted_model_predicts_the_payments_that_the_baseline_predicts(two_models):
    assert two_models.periods["model_name"].tolist() == ["baseline", "gradient boosting"]
    assert two_models.periods["first"].nunique() == two_models.periods["n"].nunique() == 1
    assert two_models.features > two_models.periods["n"].max()  # of all payments


def test_the_boosted_model_finds_what_the_baseline_does_not(two_models):
    baseline, boosted = two_models.evaluations.values()
    assert boosted.average_precision > 2 * baseline.average_precision


def test_both_models_are_compared_at_the_same_number_of_alerts(two_models):
    n_alerts = 20 * two_models.periods["days"].iloc[0]
    for name, evaluation in two_models.evaluations.items():
        result = evaluation.at_threshold(evaluation.threshold_for_alerts(n_alerts))
        precision = format_metric("precision", result.precision)
        row = f"{name} 1.0 {result.alerts:,} {precision} {result.confusion.tp:,} "
        assert row in two_models.output


def test_the_report_of_the_boosted_model_compares_it_with_the_baseline(two_models):
    page = (two_models.out / "model_report.html").read_text(encoding="utf-8")
    assert "<title>Model report: gradient boosting 1.0</title>" in page
    assert "baseline 1.0" in page
    page = (two_models.out / "baseline_report.html").read_text(encoding="utf-8")
    assert "<title>Model report: baseline 1.0</title>" in page


def test_a_boosted_model_without_frauds_to_learn_from_says_so(synfin, handbook):
    frame = pl.read_parquet(handbook).with_row_index("row")
    late = frame.with_columns(TX_FRAUD=(pl.col("row").is_in([1300, 1990])).cast(pl.Int64))
    late.drop("row").write_parquet(handbook)
    output = synfin("--data", handbook)
    assert "No gradient-boosted model was trained: the first part of the training period" in output
    assert "Baseline model" in output


def test_without_scikit_learn_the_demo_says_how_to_install_it(synfin, handbook, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    output = synfin("--data", handbook)
    assert 'Install it with: pip install "synfin-analytics[models]"' in output
    assert "The model detected" in output  # the baseline is reported


@pytest.fixture
def handbook(tmp_path):
    """A file in the layout of the Fraud Detection Handbook; two of its rows are worth nothing."""
    start = dt.datetime(2018, 4, 1, tzinfo=dt.UTC).replace(tzinfo=None)
    rows = range(2000)
    frame = pl.DataFrame(
        {
            "TRANSACTION_ID": rows,
            "TX_DATETIME": [start + dt.timedelta(hours=row) for row in rows],
            "CUSTOMER_ID": [row % 37 for row in rows],
            "TERMINAL_ID": [row % 11 for row in rows],
            "TX_AMOUNT": [0.0 if row in (7, 8) else 10.0 + row % 90 for row in rows],
            "TX_FRAUD": [int(row % 97 == 0) for row in rows],
            "TX_FRAUD_SCENARIO": [row % 4 for row in rows],
        }
    )
    path = tmp_path / "handbook.parquet"
    frame.write_parquet(path)
    return path


def test_a_file_of_a_known_layout_needs_no_mapping(synfin, manager, handbook, tmp_path):
    load_df(pl.DataFrame({"customer_id": ["MINE"]}), "customers", manager=manager)
    output = synfin("--data", handbook)
    assert "1,998 inserted" in output
    assert "2 rejected" in output
    assert "amount: must be above 0 2 7" in output  # how many, and the first of them
    with opened() as demo:
        counts = read_df(
            "SELECT (SELECT count(*) FROM customers) AS customers, "
            "(SELECT count(*) FROM merchants) AS merchants, "
            "(SELECT count(*) FROM transactions WHERE is_fraud) AS frauds",
            manager=demo,
        )
    # Nothing is left of a demo before, and nothing has happened to another database.
    assert counts.iloc[0].tolist() == [37, 11, 21]
    assert read_df("customers", manager=manager)["customer_id"].tolist() == ["MINE"]
    page = (tmp_path / "out" / "overview.html").read_text(encoding="utf-8")
    assert "2 rows of the file were rejected: amount must be above 0 (2)." in page
    assert "handbook.parquet" in page


def test_a_file_of_another_layout_takes_a_mapping(synfin, handbook, tmp_path):
    frame = pl.read_parquet(handbook).rename({"TX_AMOUNT": "EUR"}).drop("TX_FRAUD")
    frame.write_csv(tmp_path / "mine.csv")
    output = synfin(
        "--data", tmp_path / "mine.csv", "--column", "TRANSACTION_ID=transaction_id",
        "--column", "TX_DATETIME=timestamp", "--column", "CUSTOMER_ID=customer_id",
        "--column", "TERMINAL_ID=merchant_id", "--column", "EUR=amount",
        "--ignore", "TX_FRAUD_SCENARIO",
    )  # fmt: skip
    assert "1,998 inserted" in output
    assert "No transaction is labelled yet, so the fraud rate is unknown." in output
    assert "No model was trained: no transaction is labelled as fraud" in output
    assert (tmp_path / "out" / "overview.html").exists()


def test_a_mapping_goes_before_the_known_layout(handbook):
    names = pl.read_parquet_schema(handbook)
    completed = complete_mapping([*names], {})
    assert completed["TERMINAL_ID"] == "merchant_id"
    assert complete_mapping([*names], {"TERMINAL_ID": "terminal_id"}) == completed | {
        "TERMINAL_ID": "terminal_id"
    }
    assert complete_mapping([*names], {"TX_FRAUD_SCENARIO": "fraud_type"})["TX_AMOUNT"] == "amount"


def test_a_layout_is_known_by_all_of_its_columns():
    assert complete_mapping(["TRANSACTION_ID", "TX_AMOUNT"], {}) == {}


def test_one_transaction_is_enough_for_a_page(synfin, handbook):
    pl.read_parquet(handbook).head(1).write_parquet(handbook)
    output = synfin("--data", handbook)
    assert "1 transaction from 2018-04-01" in output
    assert "No model was trained" in output


def test_mistakes_are_reported_before_anything_is_done(synfin, handbook, tmp_path):
    assert "require --data" in synfin("--column", "A=b", code=1)
    assert "does not exist" in synfin("--data", "nowhere.csv", code=1)
    assert "must be of the form" in synfin("--data", handbook, "--column", "A", code=2)
    assert "no column 'EUR'" in synfin("--data", handbook, "--column", "EUR=amount", code=1)
    (tmp_path / "file").write_text("")
    output = synfin("--data", handbook, out=tmp_path / "file" / "out", code=1)
    assert "The folder of --out must be writable" in output


def test_a_file_without_a_good_row_is_reported(synfin, handbook):
    pl.read_parquet(handbook).with_columns(TX_AMOUNT=0.0).write_parquet(handbook)
    assert "No transactions were loaded" in synfin("--data", handbook, code=1)


def test_missing_required_columns_are_named(synfin, tmp_path):
    (tmp_path / "thin.csv").write_text("transaction_id,ammount\nT1,5\n")
    output = synfin("--data", tmp_path / "thin.csv", code=1)
    assert "customer_id: is required" in output
    assert "amount" in output
