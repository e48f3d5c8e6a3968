"""Reports: pages that stand alone, with every number computed and said in words."""

from synfin_analytics.reports.fraud import FraudReport, fraud_report
from synfin_analytics.reports.model import model_report
from synfin_analytics.reports.model_page import ModelReport

__all__ = ["FraudReport", "ModelReport", "fraud_report", "model_report"]
