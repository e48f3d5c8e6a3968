"""A seeded world of card payments: customers, merchants, transactions, and labelled fraud.

Nobody in it exists. :func:`simulate` makes it; docs/simulation.md tells how people live and pay in
it, and what each pattern of fraud does. ``PATTERNS`` and ``ANOMALIES`` hold their parameters.
"""

from synfin_analytics.simulation._anomalies import ANOMALIES
from synfin_analytics.simulation._patterns import PATTERNS
from synfin_analytics.simulation.simulator import Simulation, simulate

__all__ = ["ANOMALIES", "PATTERNS", "Simulation", "simulate"]
