"""The package's face: its names, what they take, and what importing it costs."""

from __future__ import annotations

import importlib
import inspect
import pickle
import subprocess
import sys
from importlib import metadata

import pytest

import synfin_analytics

FACE = """
    TABLES AnomalyPattern Base Customer FraudPattern MLFeatures Merchant ModelPrediction Transaction

    DatabaseConfig DatabaseManager get_db_manager get_db_session session_scope

    load_df LoadReport read_batches read_df show
    customer_pseudonym erase_customer ErasureReport pseudonymise_customer
    read_snapshot Snapshot write_snapshot

    AnomalyPatternRepository BaseRepository CustomerRepository FraudPatternRepository
    MLFeaturesRepository MerchantRepository ModelPredictionRepository TransactionRepository

    Confusion fraud_rate proportion_interval
    evaluate Evaluation GroupedEvaluation GainsTable Threshold TopK Bootstrap
    label_maturity LabelMaturity nowcast_fraud_rate FraudRateNowcast
    compare_models Comparison measure_drift Drift recalibrate Recalibration
    time_split TimeSplit PrequentialSplit
    make_card_precision_scorer make_cost_scorer make_value_detection_scorer

    Display plot_calibration plot_comparison plot_confusion plot_cost plot_fraud_rate
    plot_importances plot_label_maturity plot_precision_recall plot_roc plot_rule_benefit
    plot_rule_decay plot_rule_overlap plot_rules plot_score_drift plot_thresholds plot_topk

    evaluate_rules RuleEvaluation read_rules RuleFile

    fraud_report FraudReport model_report ModelReport rules_report RulesReport
    profile_database DatabaseProfile IndexChange apply_index_change

    engineer_features handbook_features window_features

    BaselineModel fit_baseline score simulate Simulation

    ColumnSuggestions Layout read_layout suggest_columns
    DetectedPatterns detect_anomalies detect_patterns

    ArchiveError ErasureError
    ArgumentError ConfigurationError DatabaseConnectionError EmbeddedServerError InvalidDataError
    LoadError MissingDependencyError NotFoundError ProtectedDatabaseError QueryError SchemaError
    ArchiveReport adopt_archive archive_contents archive_transactions verify_archive

    SynfinError
"""
NAMES = FACE.split()

PARAMETERS = {
    "load_df": "df table columns on_invalid on_missing_parent on_conflict session manager "
    "rebuild_indexes confirm progress separator encoding decimal thousands date_format timezone "
    "currency batch_size",
    "read_snapshot": "folder verify",
    "write_snapshot": "folder manager",
    "customer_pseudonym": "customer_id",
    "erase_customer": "customer_id session manager archive dry_run vacuum confirm",
    "pseudonymise_customer": "customer_id session manager archive dry_run confirm",
    "adopt_archive": "folder manager",
    "archive_contents": "folder",
    "archive_transactions": "folder before manager batch_size dry_run confirm",
    "verify_archive": "folder",
    "read_df": "query params session manager output use_decimal archive",
    "show": "df rows",
    "read_batches": "query params session manager use_decimal",
    "fraud_rate": "df by every bins interval_method confidence_level timestamp amount label "
    "cluster as_of label_available_at",
    "label_maturity": "df timestamp label label_available_at every by as_of amount mature_age "
    "confidence_level",
    "LabelMaturity.plot": "self kind ax title",
    "plot_label_maturity": "maturity ax kind title",
    "TransactionRepository.label_maturity": "self by every as_of mature_age "
    "confidence_level start end archive",
    "nowcast_fraud_rate": "df timestamp label label_available_at every by as_of amount mature_age "
    "confidence_level n_resamples seed",
    "FraudRateNowcast.plot": "self ax title",
    "TransactionRepository.nowcast_fraud_rate": "self by every as_of mature_age "
    "confidence_level n_resamples seed start end archive",
    "evaluate": "df label score threshold by amount weight interval_method confidence_level as_of "
    "timestamp label_available_at y_true y_score",
    "Evaluation.at_threshold": "self threshold",
    "Evaluation.baseline": "self metric",
    "Evaluation.best_threshold": "self cost_per_alert recovery_rate",
    "Evaluation.bootstrap": (
        "self metric cluster n_resamples seed k day entity max_fpr cost_per_alert recovery_rate "
        "score_bins"
    ),
    "Evaluation.calibration": "self bins output",
    "Evaluation.calibration_error": "self bins",
    "Evaluation.card_precision_at_k": "self k day entity",
    "Evaluation.cost": "self cost_per_alert recovery_rate",
    "Evaluation.cost_curve": "self cost_per_alert recovery_rate points output",
    "Evaluation.curve": "self points output",
    "Evaluation.confidence_interval": "self metric",
    "Evaluation.gains_table": "self bands",
    "Evaluation.precision_at_k": "self k day",
    "Evaluation.precision_at_prevalence": "self prevalence",
    "Evaluation.recall_at_fpr": "self rate",
    "Evaluation.summary": "self output",
    "Evaluation.threshold_for_alerts": "self alerts",
    "GroupedEvaluation.bootstrap": "self metric comparison cluster include_small n_resamples seed",
    "GroupedEvaluation.difference": "self metric include_small",
    "GroupedEvaluation.group_max": "self metric include_small",
    "GroupedEvaluation.group_min": "self metric include_small",
    "GroupedEvaluation.ratio": "self metric include_small",
    "GroupedEvaluation.to_dict": "self",
    "GroupedEvaluation.to_frame": "self output",
    "plot_calibration": "evaluation ax bins title",
    "plot_comparison": "comparison ax title",
    "plot_confusion": "evaluation ax title",
    "plot_cost": "costs ax title",
    "plot_importances": "importances ax max_features title",
    "plot_precision_recall": "evaluations ax title",
    "plot_roc": "evaluations ax title",
    "plot_rule_benefit": "evaluation ax max_rules title",
    "plot_rule_decay": "evaluation ax kind rules max_rules title",
    "plot_rule_overlap": "evaluation ax max_combinations title",
    "plot_rules": "evaluation ax max_rules title",
    "plot_score_drift": "weeks ax title",
    "plot_thresholds": "evaluation ax title",
    "plot_topk": "topk ax title",
    "Display.from_predictions": "y_true y_score plot threshold pos_label sample_weight bins name "
    "ax title",
    "Display.from_estimator": "model X y plot threshold pos_label sample_weight bins name ax title",
    "model_report": "df model_version label score timestamp customer merchant amount currency "
    "weight status label_available_at pos_label name version compare_with by start end as_of "
    "session archive cache threshold alerts_per_day cost_per_alert recovery_rate entity cluster "
    "n_resamples seed confidence_level notes separator encoding decimal thousands date_format "
    "timezone",
    "model_report.from_estimator": "model X y pos_label timestamp customer merchant amount "
    "weight currency by name version start end threshold alerts_per_day cost_per_alert "
    "recovery_rate n_resamples seed confidence_level notes",
    "fraud_report": "df label timestamp amount customer merchant currency status fraud_type "
    "label_available_at pos_label start end as_of by session archive cache every bins merchants "
    "confidence_level source notes separator encoding decimal thousands date_format timezone",
    "time_split": "df train label_delay test start timestamp label label_available_at entity "
    "drop_compromised",
    "make_card_precision_scorer": "k pos_label",
    "make_cost_scorer": "cost_per_alert recovery_rate threshold pos_label",
    "make_value_detection_scorer": "threshold pos_label",
    "PrequentialSplit": "n_splits train delay test timestamps label_available_at start "
    "drop_compromised",
    "PrequentialSplit.split": "self X y groups timestamp label_available_at",
    "PrequentialSplit.folds": "self df label entity",
    "compare_models": (
        "df scores label threshold cluster metrics n_resamples seed confidence_level k day entity "
        "max_fpr amount weight cost_per_alert recovery_rate score_bins as_of timestamp "
        "label_available_at"
    ),
    "recalibrate": "df test label score method weight bins",
    "Recalibration.transform": "self scores",
    "measure_drift": "df columns reference current timestamp bins confidence_level",
    "ModelPredictionRepository.measure_drift": "self model_name model_version reference current "
    "bins confidence_level",
    "plot_fraud_rate": "result ax max_groups title",
    "evaluate_rules": "df rules label amount timestamp cluster every cost_per_alert recovery_rate "
    "interval_method confidence_level as_of label_available_at",
    "read_rules": "path",
    "profile_database": "manager",
    "apply_index_change": "manager change confirm",
    "rules_report": "df rules label amount timestamp cluster every cost_per_alert recovery_rate "
    "model as_of label_available_at pos_label start end session archive confidence_level source "
    "notes path separator encoding decimal thousands date_format timezone",
    "RuleEvaluation.beside": "self rule",
    "RuleEvaluation.compare": "self old new",
    "proportion_interval": "successes trials interval_method confidence_level",
    "engineer_features": "df customers merchants label_delay start end output memory n_buckets",
    "handbook_features": "df label_delay terminal start output memory n_buckets",
    "window_features": (
        "df by value windows lag closed include_current start output memory n_buckets"
    ),
    "simulate": "customers merchants days seed fraud_rate patterns anomalies drift start output",
    "fit_baseline": "df name version train_fraction label_delay",
    "score": "df model features column pos_label",
    "detect_anomalies": "df patterns n_buckets",
    "detect_patterns": "df patterns n_buckets",
    "DetectedPatterns.to_frame": "self output",
    "DetectedPatterns.summary": "self output",
    "DetectedPatterns.transactions": "self output",
    "FraudPatternRepository.upsert": "self detected",
    "read_layout": "df layout start separator encoding decimal thousands date_format timezone "
    "currency",
    "suggest_columns": "df separator encoding decimal thousands date_format timezone currency",
    "Layout": "transactions customers merchants name about join_on",
    "get_db_manager": "config",
    "get_db_session": "",
    "session_scope": "read_only",
    "DatabaseConfig": "host port database username password pool_size max_overflow pool_timeout "
    "pool_recycle echo sslmode sslrootcert slow_query_ms data_dir options "
    "replica_hosts replica_url pool cache_url environment protected",
    "DatabaseConfig.from_env": "environment environ",
    "DatabaseConfig.get_connection_string": "self",
    "DatabaseManager": "config",
    "DatabaseManager.initialize": "self",
    "DatabaseManager.create_all_tables": "self",
    "DatabaseManager.drop_all_tables": "self confirm",
    "DatabaseManager.session_scope": "self read_only",
    "DatabaseManager.get_session": "self",
    "DatabaseManager.get_scoped_session": "self",
    "DatabaseManager.bulk_insert": "self objects batch_size table options",
    "DatabaseManager.execute_query": "self query params output use_decimal",
    "DatabaseManager.get_pool_status": "self",
    "DatabaseManager.health_check": "self",
    "DatabaseManager.close": "self",
}

HEAVY = ("matplotlib", "pandas", "polars", "pyarrow", "numpy", "scipy", "sqlalchemy", "pyspark",
         "sklearn", "duckdb", "IPython", "jinja2", "sqlglot")  # fmt: skip


def run(lines: str) -> str:
    result = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_public_names_are_exactly_those_listed():
    assert sorted(synfin_analytics.__all__) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_exists_and_is_documented(name):
    member = getattr(synfin_analytics, name)
    assert name == "TABLES" or inspect.getdoc(member)


@pytest.mark.parametrize("call", PARAMETERS)
def test_a_call_keeps_the_names_of_its_parameters(call):
    member = synfin_analytics
    for name in call.split("."):
        member = getattr(member, name)
    assert list(inspect.signature(member).parameters) == PARAMETERS[call].split()


#: Public names of ``synfin_analytics.course``: for students, teachers and authors of exercises.
COURSE = """
    CheckResult Hint LessonData check hint start_lesson

    Assignment CopiedNotebooks Grade Gradebook RosterEntry assign_notebooks build_notebooks
    copy_notebooks grade_submissions read_roster read_students

    Exercise Grader Lesson Matching Names Number Numbers PerPayment Table get_lesson
"""


def test_the_course_is_a_separate_package():
    from synfin_analytics import course

    assert sorted(course.__all__) == sorted(COURSE.split())
    assert all(inspect.getdoc(getattr(course, name)) for name in course.__all__)
    assert not set(course.__all__) & set(NAMES)


def test_completion_offers_the_public_names():
    assert set(dir(synfin_analytics)) >= set(NAMES)


def test_all_names_can_be_imported_with_a_star():
    space: dict[str, object] = {}
    exec("from synfin_analytics import *", space)
    assert set(space) >= set(NAMES)


def test_an_unknown_name_raises_an_attribute_error():
    with pytest.raises(AttributeError, match="load_dataframe"):
        _ = synfin_analytics.load_dataframe
    with pytest.raises(ImportError, match="load_dataframe"):
        from synfin_analytics import load_dataframe  # noqa: F401


def test_a_name_is_the_same_object_as_in_its_module():
    for name in NAMES:
        member = getattr(synfin_analytics, name)
        if name != "TABLES":
            assert getattr(importlib.import_module(member.__module__), name) is member


def test_a_public_class_can_be_pickled_by_name():
    config = synfin_analytics.DatabaseConfig(database="fraud")
    assert pickle.loads(pickle.dumps(config)) == config


def test_the_version_is_that_of_the_installed_package():
    try:
        installed = metadata.version("synfin-analytics")
    except metadata.PackageNotFoundError:
        installed = "0+unknown"
    assert synfin_analytics.__version__ == installed


def test_importing_the_package_imports_no_heavy_dependency():
    output = run(
        f"import synfin_analytics, sys; print(*(set({HEAVY!r}) & set(sys.modules)), sep=' ')"
    )
    assert output == ""


def test_importing_all_names_imports_no_plotting_library():
    output = run("from synfin_analytics import *; import sys; print('matplotlib' in sys.modules)")
    assert output == "False"
