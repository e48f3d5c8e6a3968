"""Reports: pages that stand alone, with every number computed and said in words."""

from synfin_analytics.reports.overview import ModelFacts, Overview

__all__ = ["ModelFacts", "Overview"]
