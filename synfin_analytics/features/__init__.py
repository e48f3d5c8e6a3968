"""Features of transactions, computed from what was known at the time of each.

:func:`engineer_features` computes the 69 features of the table ``ml_features``, ``DEFINITIONS``
describes each of them; :func:`window_features` counts and averages over windows of your choice, and
:func:`handbook_features` computes the 14 features of the Fraud Detection Handbook.
"""

from synfin_analytics.features._compute import FEATURES
from synfin_analytics.features.definitions import DEFINITIONS, Definition, definitions_markdown
from synfin_analytics.features.engineer import INPUT_COLUMNS, engineer_features
from synfin_analytics.features.windows import handbook_features, window_features

__all__ = [
    "DEFINITIONS",
    "FEATURES",
    "INPUT_COLUMNS",
    "Definition",
    "definitions_markdown",
    "engineer_features",
    "handbook_features",
    "window_features",
]
