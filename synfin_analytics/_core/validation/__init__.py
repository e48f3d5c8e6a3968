"""Validation of columns and cells against what a table's column accepts."""
