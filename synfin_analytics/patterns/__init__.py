"""Patterns in transactions: what fraud leaves behind, and what only looks like it.

Each detector is a rule with thresholds that can be told to a colleague; :func:`detect_patterns` and
:func:`detect_anomalies` run them.
"""

from synfin_analytics.patterns.account_takeover import AccountTakeover
from synfin_analytics.patterns.amount_spike import AmountSpike
from synfin_analytics.patterns.card_testing import CardTesting
from synfin_analytics.patterns.collusion_ring import CollusionRing
from synfin_analytics.patterns.compromised_merchant import CompromisedMerchant
from synfin_analytics.patterns.detect import ANOMALIES, FRAUD, detect_anomalies, detect_patterns
from synfin_analytics.patterns.detector import Detector
from synfin_analytics.patterns.dormant_card import DormantCard
from synfin_analytics.patterns.holiday_travel import HolidayTravel
from synfin_analytics.patterns.impossible_travel import ImpossibleTravel
from synfin_analytics.patterns.just_below_limit import JustBelowLimit
from synfin_analytics.patterns.large_purchase import LargePurchase
from synfin_analytics.patterns.night_spree import NightSpree
from synfin_analytics.patterns.refund_abuse import RefundAbuse
from synfin_analytics.patterns.result import DetectedPatterns
from synfin_analytics.patterns.velocity_burst import VelocityBurst

__all__ = [
    "ANOMALIES",
    "FRAUD",
    "AccountTakeover",
    "AmountSpike",
    "CardTesting",
    "CollusionRing",
    "CompromisedMerchant",
    "DetectedPatterns",
    "Detector",
    "DormantCard",
    "HolidayTravel",
    "ImpossibleTravel",
    "JustBelowLimit",
    "LargePurchase",
    "NightSpree",
    "RefundAbuse",
    "VelocityBurst",
    "detect_anomalies",
    "detect_patterns",
]
