"""Reports: self-contained HTML pages, with every number computed and summarized in sentences."""

from synfin_analytics.reports.fraud import FraudReport, fraud_report
from synfin_analytics.reports.model import ModelReport, model_report
from synfin_analytics.reports.provenance import Provenance

__all__ = ["FraudReport", "ModelReport", "Provenance", "fraud_report", "model_report"]
