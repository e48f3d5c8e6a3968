"""Snapshots: a Parquet copy of all tables as they were at one moment, with a manifest."""

from synfin_analytics.io.snapshot.snapshot import Snapshot, read_snapshot
from synfin_analytics.io.snapshot.write import write_snapshot

__all__ = ["Snapshot", "read_snapshot", "write_snapshot"]
