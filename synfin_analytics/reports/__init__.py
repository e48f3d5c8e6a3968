"""Reports: self-contained HTML pages, with every number computed and summarized in sentences."""

from synfin_analytics.reports.fraud import FraudReport, fraud_report
from synfin_analytics.reports.model import ModelReport, model_report
from synfin_analytics.reports.provenance import Provenance
from synfin_analytics.reports.rules import RulesReport, rules_report

__all__ = [
    "FraudReport",
    "ModelReport",
    "Provenance",
    "RulesReport",
    "fraud_report",
    "model_report",
    "rules_report",
]
