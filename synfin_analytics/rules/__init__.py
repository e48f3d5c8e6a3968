"""Rules for fraud: evaluated on transactions, against each other and over time."""

from synfin_analytics.rules.evaluate import evaluate_rules
from synfin_analytics.rules.result import RuleEvaluation

__all__ = ["RuleEvaluation", "evaluate_rules"]
