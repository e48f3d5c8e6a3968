"""Simulated card payments: customers, merchants, and transactions with labelled fraud.

:func:`simulate` creates them from a seed. ``PATTERNS`` and ``ANOMALIES`` have the fraud patterns
and the anomalies by name; their classes hold the parameters.
"""

from synfin_analytics.simulation.anomalies import HolidayTravel, LargePurchase
from synfin_analytics.simulation.card_not_present import (
    AccountTakeover,
    AmountSpike,
    CardTesting,
)
from synfin_analytics.simulation.card_present import (
    DormantCard,
    ImpossibleTravel,
    JustBelowLimit,
    NightSpree,
    VelocityBurst,
)
from synfin_analytics.simulation.merchant_fraud import (
    CollusionRing,
    CompromisedMerchant,
    RefundAbuse,
)
from synfin_analytics.simulation.pattern import Pattern
from synfin_analytics.simulation.patterns import ANOMALIES, PATTERNS
from synfin_analytics.simulation.simulator import Simulation, simulate

__all__ = [
    "ANOMALIES",
    "PATTERNS",
    "AccountTakeover",
    "AmountSpike",
    "CardTesting",
    "CollusionRing",
    "CompromisedMerchant",
    "DormantCard",
    "HolidayTravel",
    "ImpossibleTravel",
    "JustBelowLimit",
    "LargePurchase",
    "NightSpree",
    "Pattern",
    "RefundAbuse",
    "Simulation",
    "VelocityBurst",
    "simulate",
]
