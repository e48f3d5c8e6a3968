"""Reports: self-contained HTML pages, with every number computed and summarized in sentences."""

from synfin_analytics.reports.fraud import FraudReport, fraud_report
from synfin_analytics.reports.model import ModelReport, model_report
from synfin_analytics.reports.profile import (
    DatabaseProfile,
    IndexChange,
    apply_index_change,
    profile_database,
)
from synfin_analytics.reports.provenance import Provenance
from synfin_analytics.reports.rules import RulesReport, rules_report

__all__ = [
    "DatabaseProfile",
    "FraudReport",
    "IndexChange",
    "ModelReport",
    "Provenance",
    "RulesReport",
    "apply_index_change",
    "fraud_report",
    "model_report",
    "profile_database",
    "rules_report",
]
