"""Validation of columns against what the tables accept.

:func:`~synfin_analytics._core.validation.validate.validate_column` is the entry. What a column
accepts comes from the models (``spec``, ``rules``). Cells come as Python objects, as a series of
polars or as texts to parse (``columns``); one module for each kind of column converts all three:
``numeric``, ``temporal``, ``text``.
"""
