"""DataFrame to PostgreSQL: :func:`load_df`, its options and its report."""

from synfin_analytics.io.load._load_df import load_df
from synfin_analytics.io.load.types import LabelCounts, LoadOptions, LoadReport

__all__ = ["LabelCounts", "LoadOptions", "LoadReport", "load_df"]
