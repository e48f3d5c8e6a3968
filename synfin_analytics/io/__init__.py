"""DataFrames in and out of PostgreSQL."""
