"""Patterns in transactions: what fraud leaves behind, and what only looks like it.

Each detector is a rule with thresholds that can be told to a colleague; :func:`detect_patterns` and
:func:`detect_anomalies` run them.
"""

from synfin_analytics.detection.account_takeover import AccountTakeover
from synfin_analytics.detection.amount_spike import AmountSpike
from synfin_analytics.detection.card_testing import CardTesting
from synfin_analytics.detection.collusion_ring import CollusionRing
from synfin_analytics.detection.compromised_merchant import CompromisedMerchant
from synfin_analytics.detection.detect import ANOMALIES, FRAUD, detect_anomalies, detect_patterns
from synfin_analytics.detection.detector import Detector
from synfin_analytics.detection.dormant_card import DormantCard
from synfin_analytics.detection.holiday_travel import HolidayTravel
from synfin_analytics.detection.impossible_travel import ImpossibleTravel
from synfin_analytics.detection.just_below_limit import JustBelowLimit
from synfin_analytics.detection.large_purchase import LargePurchase
from synfin_analytics.detection.night_spree import NightSpree
from synfin_analytics.detection.refund_abuse import RefundAbuse
from synfin_analytics.detection.result import DetectedPatterns
from synfin_analytics.detection.velocity_burst import VelocityBurst

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
