"""Rules for fraud: evaluated on transactions, against each other and over time."""

from synfin_analytics.rules.evaluate import evaluate_rules
from synfin_analytics.rules.result import RuleEvaluation
from synfin_analytics.rules.rules_file import RuleFile, read_rules

__all__ = ["RuleEvaluation", "RuleFile", "evaluate_rules", "read_rules"]
