"""Check the parameters of patterns and anomalies: each is like its usual value."""

from __future__ import annotations

import dataclasses
from numbers import Integral, Real
from typing import Any

from synfin_analytics.exceptions import ArgumentError

#: Parameters that are a share, and so at most 1.
_SHARES = (
    "amount_variation",
    "decline_rate",
    "online_share",
    "partner_stays_share",
    "same_terminal_share",
)


#: Of anything: days of which are centuries, and amounts of which no card allows.
_MOST = 100_000


def check_parameters(one: Any, what: str) -> None:
    """Refuse a parameter that is not of the form of its default.

    Numbers are not negative and at most 100,000, whole ones at least 1. Pairs are ranges, the
    smaller number first.

    Raises
    ------
    ArgumentError
        The message names the parameter, its form and an example.
    """
    for field in dataclasses.fields(one):
        value = getattr(one, field.name)
        share = field.name in _SHARES
        if not _fits(value, field.default) or (share and value > 1):
            form = "a share, from 0 to 1" if share else _form(field.default)
            raise ArgumentError(
                f"The parameter {field.name!r} of the {what} {one.name!r} must be {form}, such as "
                f"{field.default!r}; got {value!r}."
            )


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, tuple):
        if not isinstance(value, tuple | list) or not value:
            return False
        if not all(_fits(each, default[0]) for each in value):
            return False
        return len(default) != 2 or (len(value) == 2 and value[0] <= value[1])
    if isinstance(value, bool) or not isinstance(value, Real) or not float(value) <= _MOST:
        return False
    whole = isinstance(value, Integral) and int(value) >= 1
    return float(value) >= 0 if isinstance(default, float) else whole


def _form(default: Any) -> str:
    one = default[0] if isinstance(default, tuple) else default
    kind = "not below 0" if isinstance(one, float) else "whole and at least 1"
    if not isinstance(default, tuple):
        return f"a number, {kind}"
    if len(default) == 2:
        return f"a pair of numbers, {kind}, the smaller one first"
    return f"some numbers, {kind}"
