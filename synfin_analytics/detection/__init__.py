"""Rule-based detection of fraud patterns, and of anomalies that only resemble fraud.

Each detector is a rule with thresholds that can be explained to a colleague;
:func:`detect_patterns` and :func:`detect_anomalies` run them.
"""

from synfin_analytics.detection.amounts import AmountSpike, JustBelowLimit, LargePurchase
from synfin_analytics.detection.cards import (
    AccountTakeover,
    CardTesting,
    DormantCard,
    NightSpree,
    VelocityBurst,
)
from synfin_analytics.detection.detect import (
    ANOMALY_DETECTORS,
    FRAUD_DETECTORS,
    detect_anomalies,
    detect_patterns,
)
from synfin_analytics.detection.detector import Detector
from synfin_analytics.detection.merchants import CollusionRing, CompromisedMerchant, RefundAbuse
from synfin_analytics.detection.result import DetectedPatterns
from synfin_analytics.detection.travel import HolidayTravel, ImpossibleTravel

__all__ = [
    "ANOMALY_DETECTORS",
    "FRAUD_DETECTORS",
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
