"""How cells are written: separator, encoding, decimals, dates, time zone."""

from __future__ import annotations

import dataclasses
import datetime as dt
import zoneinfo
from typing import TypedDict

from synfin_analytics.exceptions import ArgumentError

#: Every part of this date differs: a format that swaps two of them shows in an example.
_EXAMPLE = dt.datetime(2026, 1, 31, 14, 30, 59, tzinfo=dt.UTC)


class ReadArguments(TypedDict, total=False):
    """The options as keyword arguments of :func:`load_df` and :func:`read_layout`."""

    separator: str | None
    encoding: str | None
    decimal: str | None
    thousands: str | None
    date_format: str | None
    timezone: str | None
    currency: bool | str


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Options of :func:`load_df` and :func:`read_layout` about how cells are written.

    Attributes
    ----------
    separator, encoding
        For CSV files only; by default the separator is detected in the header, and the encoding
        is UTF-8.
    decimal, thousands, date_format, timezone, currency
        For cells that are texts, in any file or frame.

    Raises
    ------
    ArgumentError
        An option has an invalid value, or two options contradict each other.

    Examples
    --------
    >>> ReadOptions(decimal=",", thousands=".").decimal_mark
    ','
    >>> ReadOptions(decimal=",", thousands=",")
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `thousands` must differ from `decimal`; got ','...
    """

    separator: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    date_format: str | None = None
    timezone: str | None = None
    currency: bool | str = False

    def __post_init__(self) -> None:
        if self.separator is not None and (
            not isinstance(self.separator, str)
            or len(self.separator) != 1
            or not self.separator.isascii()
            or self.separator in '"\r\n\0'
        ):
            raise ArgumentError(
                "`separator` must be one ASCII character other than a quote or a line break, "
                f'such as ";" or "\\t"; got {self.separator!r}.'
            )
        if self.encoding is not None:
            _check_encoding(self.encoding)
        if self.decimal not in (None, ".", ","):
            raise ArgumentError(f'`decimal` must be "." or ","; got {self.decimal!r}.')
        if self.thousands not in (None, ".", ",", "'", "\u2019", " ", "\u00a0", "\u202f", "_"):
            raise ArgumentError(
                f"`thousands` must be one of . , ' _ or a space; got {self.thousands!r}."
            )
        if self.thousands == self.decimal_mark:
            raise ArgumentError(
                f"`thousands` must differ from `decimal`; got {self.thousands!r} for both."
            )
        if self.date_format is not None:
            _check_date_format(self.date_format)
        if self.timezone is not None:
            _check_timezone(self.timezone)
        if not isinstance(self.currency, bool | str) or self.currency == "":
            raise ArgumentError(
                "`currency` must be True (any currency sign or code), or the sign itself, "
                f'such as "€"; got {self.currency!r}.'
            )
        if isinstance(self.currency, str) and any(
            char.isdigit() or char in "+-()" for char in self.currency
        ):
            raise ArgumentError(
                f"`currency` must not contain digits, signs or parentheses; got {self.currency!r}."
            )

    @property
    def decimal_mark(self) -> str:
        """Return the decimal mark of numbers."""
        return self.decimal or "."

    @property
    def has_text_options(self) -> bool:
        """Whether an option about text cells is set."""
        return bool(
            self.decimal or self.thousands or self.date_format or self.timezone or self.currency
        )

    @property
    def has_options(self) -> bool:
        """Whether any option is set."""
        return self.has_text_options or bool(self.separator or self.encoding)

    def to_arguments(self) -> ReadArguments:
        """Return the options as keyword arguments."""
        arguments: ReadArguments = dataclasses.asdict(self)  # type: ignore[assignment]
        return arguments

    def check_no_csv_options(self, source: str) -> None:
        """Check that `separator` and `encoding` are not set: the source is no CSV file.

        Raises
        ------
        ArgumentError
            One of them is set.
        """
        for name in ("separator", "encoding"):
            if getattr(self, name) is not None:
                raise ArgumentError(
                    f"`{name}` must be left out unless the source is a CSV file; got "
                    f"{name}={getattr(self, name)!r} with {source}."
                )


def date_part(date_format: str) -> str:
    """Return the date of a date format, without the time of day and what follows it.

    Examples
    --------
    >>> date_part("%d/%m/%Y %H:%M"), date_part("%d.%m.%Y")
    ('%d/%m/%Y', '%d.%m.%Y')
    """
    starts = [date_format.find(code) for code in _TIME_CODES if code in date_format]
    return date_format[: min(starts)].rstrip(" T,") if starts else date_format


def format_example(date_format: str) -> str:
    """Return an example date in a format."""
    return _EXAMPLE.strftime(date_format)


_TIME_CODES = ("%H", "%I", "%M", "%S", "%f", "%p", "%z", "%Z", "T%H", "%X", "%T", "%R")


def _check_encoding(encoding: object) -> None:
    try:
        exists = isinstance(encoding, str) and isinstance("".encode(encoding), bytes)
    except LookupError:  # also for codecs that do not encode texts, such as "hex"
        exists = False
    if not exists:
        raise ArgumentError(
            "`encoding` must be an encoding that Python supports, such as 'utf-8', 'cp1252', "
            f"'latin-1' or 'utf-16'; got {encoding!r}."
        )


def _check_date_format(date_format: object) -> None:
    must_be = "`date_format` must be a format of `datetime.strptime` with day, month and year"
    if not isinstance(date_format, str) or "%" not in date_format:
        raise ArgumentError(f'{must_be}, such as "%d/%m/%Y %H:%M"; got {date_format!r}.')
    try:
        parsed = dt.datetime.strptime(_EXAMPLE.strftime(date_format), date_format)  # noqa: DTZ007 - only its date is compared
    except ValueError:
        parsed = None
    if parsed is None or parsed.date() != _EXAMPLE.date():
        raise ArgumentError(f'{must_be}, such as "%d/%m/%Y %H:%M"; got {date_format!r}.')


def _check_timezone(timezone: object) -> None:
    try:
        exists = isinstance(timezone, str) and bool(zoneinfo.ZoneInfo(timezone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        exists = False
    if not exists:
        raise ArgumentError(
            "`timezone` must be the name of a time zone, such as 'Europe/Berlin' or 'UTC'; "
            f"got {timezone!r}."
        )
