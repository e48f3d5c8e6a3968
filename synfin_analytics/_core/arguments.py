"""Validation of arguments, shared by all public functions.

Numbers of NumPy and pandas are accepted wherever Python's are: ``.sum()`` and ``.max()`` return
them. Booleans and texts are never numbers.
"""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Real
from operator import index
from typing import TYPE_CHECKING, Any

from narwhals.dependencies import is_into_series

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence


def whole_number(value: Any, name: str, *, least: int = 0, what: str = "a whole number") -> int:
    """Return ``value`` as an ``int`` of at least ``least``.

    Raises
    ------
    ArgumentError
        It is no integer of Python or NumPy, or too small.

    Examples
    --------
    >>> import numpy as np
    >>> whole_number(np.int64(3), "draws", least=1)
    3
    >>> whole_number(2.5, "k", least=1)
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `k` must be a whole number of at least 1; got 2.5.
    """
    try:
        number = least - 1 if isinstance(value, bool) else index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise ArgumentError(f"`{name}` must be {what} of at least {least}; got {shown(value)}.")
    return number


def real_number(value: Any, name: str, must_be: str, *, low: float = -math.inf) -> float:
    """Return ``value`` as a finite ``float`` of at least ``low``; ``must_be`` is for the message.

    Raises
    ------
    ArgumentError
        It is not a number, not finite, or too small.

    Examples
    --------
    >>> import numpy as np
    >>> real_number(np.float32(2.5), "cost_per_alert", "an amount of at least 0", low=0)
    2.5
    """
    number = _float(value)
    if not (math.isfinite(number) and number >= low):
        raise ArgumentError(f"`{name}` must be {must_be}; got {shown(value)}.")
    return number


def share(value: Any, name: str, what: str = "a share") -> float:
    """Return ``value`` as a ``float`` from 0 to 1.

    Raises
    ------
    ArgumentError
        It is not a number, or outside of 0 to 1.

    Examples
    --------
    >>> share(30, "recovery_rate")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `recovery_rate` must be a share from 0 to 1; got 30.
    """
    number = _float(value)
    if not 0 <= number <= 1:
        raise ArgumentError(f"`{name}` must be {what} from 0 to 1; got {shown(value)}.")
    return number


def confidence(value: Any, name: str = "level") -> float:
    """Return ``value`` as a ``float`` strictly between 0 and 1.

    Raises
    ------
    ArgumentError
        It is not a number, or outside of this range.
    """
    number = _float(value)
    if not 0 < number < 1:
        raise ArgumentError(
            f"`{name}` must be a confidence greater than 0 and less than 1, such as 0.95; got "
            f"{shown(value)}."
        )
    return number


def text(value: Any, name: str, *, example: str = "") -> str:
    """Return a text.

    Raises
    ------
    ArgumentError
        It is not a text: the number of a version, for example.

    Examples
    --------
    >>> text(1, "model_version", example="1.0")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `model_version` must be a text such as '1.0'; got 1.
    """
    if not isinstance(value, str):
        such_as = f" such as {example!r}" if example else ""
        raise ArgumentError(f"`{name}` must be a text{such_as}; got {shown(value)}.")
    return value


def column(value: Any, name: str) -> str:
    """Return the name of a column.

    Raises
    ------
    ArgumentError
        It is not a text: the column itself, for example, or a number.

    Examples
    --------
    >>> column(0, "score")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `score` must be the name of a column, a text; got 0.
    """
    if not isinstance(value, str):
        raise ArgumentError(f"`{name}` must be the name of a column, a text; got {shown(value)}.")
    return value


def columns(
    value: Any, name: str, *, what: str = "a column", examples: Sequence[str] = ("channel", "city")
) -> tuple[str, ...]:
    """Return the names of one or several columns, or of ``what`` else has names, each once.

    Raises
    ------
    ArgumentError
        There is none, one is not a text, or one is repeated; or it is a column itself, whose
        values may be names of customers: the message shows none of them.

    Examples
    --------
    >>> columns("channel", "by"), columns(["channel", "city"], "by")
    (('channel',), ('channel', 'city'))
    """
    given: Sequence[Any] = [value] if isinstance(value, str) else _listed(value)
    repeated = len(set(map(str, given))) < len(given)
    if (
        not given
        or not all(isinstance(one, str) and one for one in given)
        or is_into_series(value)
        or (repeated and len(given) > _MOST_SHOWN)
    ):
        raise ArgumentError(
            f"`{name}` must be the name of {what}, or a list of names, such as {examples[0]!r} or "
            f"{list(examples)!r}; got {shown(value)}."
        )
    if repeated:
        twice = sorted({one for one in given if given.count(one) > 1})
        raise ArgumentError(
            f"`{name}` must have each name once; got {', '.join(map(repr, twice))} repeatedly."
        )
    return tuple(given)


def shown(value: Any) -> str:
    """Return a value as an error message shows it: data in bulk by their type alone.

    Examples
    --------
    >>> import numpy as np
    >>> shown("7d"), shown(np.int64(3)), shown(None), shown(np.zeros(9))
    ("'7d'", '3', 'None', 'an object of type ndarray')
    """
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float | Decimal):
        return repr(value)
    if isinstance(value, list | tuple | dict | set) and len(value) <= _MOST_SHOWN:
        text = repr(value)
        if len(text) <= _LONGEST_SHOWN:
            return text
    return f"an object of type {type(value).__name__}"


def _float(value: Any) -> float:
    """Return a number as a ``float``, NaN for everything else."""
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _listed(value: Any) -> list[Any]:
    try:
        return list(value)
    except TypeError:
        return []


_MOST_SHOWN, _LONGEST_SHOWN = 10, 120
