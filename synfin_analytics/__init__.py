"""Fraud analytics in a notebook."""
