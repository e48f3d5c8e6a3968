"""Validation of arguments, shared by all public functions.

Numbers of NumPy and pandas are accepted wherever Python numbers are, since ``.sum()`` and
``.max()`` return them. Booleans and strings are never numbers.
"""

from __future__ import annotations

import functools
import math
import re
from decimal import Decimal
from numbers import Real
from operator import index
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from narwhals.dependencies import is_into_series

from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

P = ParamSpec("P")
R = TypeVar("R")
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?)B\s*")


def argument_error(name: str, must_be: str, value: Any) -> ArgumentError:
    """Return the error for an argument that must be something else.

    Examples
    --------
    >>> argument_error("k", "a whole number", "3")
    ArgumentError("`k` must be a whole number; got '3'.")
    """
    return ArgumentError(f"`{name}` must be {must_be}; got {format_value(value)}.")


def refuse_spelling(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Name the parameter where a function is called with another function's name of it.

    Examples
    --------
    >>> @refuse_spelling(delay="label_delay")
    ... def split(label_delay="7d"): ...
    >>> split(delay="1d")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: The parameter `delay` is called `label_delay` here: \
pass label_delay='1d'.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for name, correct in names.items():
                if name in kwargs:
                    raise ArgumentError(
                        f"The parameter `{name}` is called `{correct}` here: pass "
                        f"{correct}={format_value(kwargs[name])}."
                    )
            return function(*args, **kwargs)

        return call

    return decorate


def check_integer(
    value: Any, name: str, *, minimum: int = 0, must_be: str = "a whole number"
) -> int:
    """Return ``value`` as an ``int`` of at least ``minimum``.

    Raises
    ------
    ArgumentError
        ``value`` is not an integer of Python or NumPy, or is too small.

    Examples
    --------
    >>> import numpy as np
    >>> check_integer(np.int64(3), "n_resamples", minimum=1)
    3
    >>> check_integer(2.5, "k", minimum=1)
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `k` must be a whole number of at least 1; got 2.5.
    """
    try:
        number = minimum - 1 if isinstance(value, bool) else index(value)
    except TypeError:
        number = minimum - 1
    if number < minimum:
        raise argument_error(name, f"{must_be} of at least {minimum}", value)
    return number


def check_number(value: Any, name: str, must_be: str, *, minimum: float = -math.inf) -> float:
    """Return ``value`` as a finite ``float`` of at least ``minimum``.

    ``must_be`` completes the message, as in ``"an amount of at least 0"``.

    Raises
    ------
    ArgumentError
        ``value`` is not a number, not finite, or too small.

    Examples
    --------
    >>> import numpy as np
    >>> check_number(np.float32(2.5), "cost_per_alert", "an amount of at least 0", minimum=0)
    2.5
    """
    number = _to_float(value)
    if not (math.isfinite(number) and number >= minimum):
        raise argument_error(name, must_be, value)
    return number


def parse_size(value: Any, name: str, *, minimum: int = 100_000_000) -> int:
    """Return a number of bytes: an integer, or a text with a unit (kB, MB, GB or TB).

    Raises
    ------
    ArgumentError
        It is neither, or less than ``minimum``.

    Examples
    --------
    >>> parse_size("1.5GB", "memory"), parse_size(500_000_000, "memory")
    (1500000000, 500000000)
    """
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if match:
        size = int(float(match[1]) * 1000 ** " kMGT".index(match[2] or " "))
    if size < minimum:
        raise argument_error(
            name, f"a size of at least {minimum // 1_000_000} MB, such as '2GB'", value
        )
    return size


def check_share(value: Any, name: str, must_be: str = "a share") -> float:
    """Return ``value`` as a ``float`` from 0 to 1.

    Raises
    ------
    ArgumentError
        ``value`` is not a number from 0 to 1.

    Examples
    --------
    >>> check_share(30, "recovery_rate")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `recovery_rate` must be a share from 0 to 1; got 30.
    """
    number = _to_float(value)
    if not 0 <= number <= 1:
        raise argument_error(name, f"{must_be} from 0 to 1", value)
    return number


def check_confidence_level(value: Any, name: str = "confidence_level") -> float:
    """Return ``value`` as a ``float`` strictly between 0 and 1.

    Raises
    ------
    ArgumentError
        ``value`` is not a number in this range.

    Examples
    --------
    >>> check_confidence_level(0.95)
    0.95
    """
    number = _to_float(value)
    if not 0 < number < 1:
        raise argument_error(name, "greater than 0 and less than 1, such as 0.95", value)
    return number


def check_string(value: Any, name: str, *, example: str = "") -> str:
    """Return a string.

    Raises
    ------
    ArgumentError
        ``value`` is not a string but, for example, the number of a version.

    Examples
    --------
    >>> check_string(1, "model_version", example="1.0")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `model_version` must be a string such as '1.0'; got 1.
    """  # noqa: E501 - one line of a traceback
    if not isinstance(value, str):
        such_as = f" such as {example!r}" if example else ""
        raise argument_error(name, f"a string{such_as}", value)
    return value


def check_column_name(value: Any, name: str) -> str:
    """Return the name of a column.

    Raises
    ------
    ArgumentError
        ``value`` is not a string but, for example, the column itself or a number.

    Examples
    --------
    >>> check_column_name(0, "score")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `score` must be a column name (a string); got 0.
    """
    if not isinstance(value, str):
        raise argument_error(name, "a column name (a string)", value)
    return value


def check_names(
    value: Any,
    name: str,
    *,
    must_be: str = "a column name",
    examples: Sequence[str] = ("channel", "city"),
) -> tuple[str, ...]:
    """Return one or several names, of columns unless ``must_be`` says otherwise, each once.

    Raises
    ------
    ArgumentError
        ``value`` has no name, a name that is not a string or a repeated name, or is a column.
        The message shows no values of such a column, which may be names of customers.

    Examples
    --------
    >>> check_names("channel", "by"), check_names(["channel", "city"], "by")
    (('channel',), ('channel', 'city'))
    """
    names: Sequence[Any] = [value] if isinstance(value, str) else _to_list(value)
    repeated = len(set(map(str, names))) < len(names)
    if (
        not names
        or not all(isinstance(entry, str) and entry for entry in names)
        or is_into_series(value)
        or (repeated and len(names) > _MAX_ITEMS)
    ):
        such_as = f"such as {examples[0]!r} or {list(examples)!r}"
        raise argument_error(name, f"{must_be} or a list of names, {such_as}", value)
    if repeated:
        duplicates = sorted({entry for entry in names if names.count(entry) > 1})
        raise ArgumentError(
            f"`{name}` must contain each name once; got {', '.join(map(repr, duplicates))} "
            "more than once."
        )
    return tuple(names)


def format_value(value: Any) -> str:
    """Format a value for an error message; data in bulk appear as their type only.

    Examples
    --------
    >>> import numpy as np
    >>> format_value("7d"), format_value(np.int64(3)), format_value(None), format_value(np.zeros(9))
    ("'7d'", '3', 'None', 'an object of type ndarray')
    """
    if type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0:
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float | Decimal):
        return repr(value)
    if isinstance(value, list | tuple | dict | set) and len(value) <= _MAX_ITEMS:
        text = repr(value)
        if len(text) <= _MAX_LENGTH:
            return text
    return f"an object of type {type(value).__name__}"


def _to_float(value: Any) -> float:
    """Return a number as a ``float``, NaN for everything else."""
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _to_list(value: Any) -> list[Any]:
    try:
        return list(value)
    except TypeError:
        return []


_MAX_ITEMS, _MAX_LENGTH = 10, 120
