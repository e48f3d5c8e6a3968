"""Numbers, dates, names and metrics as text; the same on the terminal, in notebooks and reports."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

#: Text of a value that is NaN.
UNDEFINED = "not defined"
#: Text of a table cell that has no value.
NO_VALUE = "\u2013"
_UNKNOWN, _EMPTY = "unknown", "(empty)"
#: Smaller values are rounding errors.
_NOISE = 1e-13
#: Numbers that need more decimals are written in powers of ten.
_MAX_DECIMALS = 8
_UNITS = ((1e9, "bn"), (1e6, "M"), (1e3, "k"))


def format_percent(share: float, digits: int | None = None) -> str:
    """Format a share in percent.

    A small share, and one just below 1, keep two significant digits: what is neither 0 nor 1 is
    never rounded to it.

    Parameters
    ----------
    share
        A number from 0 to 1.
    digits
        Decimals; by default one, and two below 10%.

    Examples
    --------
    >>> format_percent(0.00837), format_percent(0.5), format_percent(4 / 120_000)
    ('0.84%', '50.0%', '0.0033%')
    >>> format_percent(0.999967), format_percent(1.0), format_percent(float("nan"))
    ('99.9967%', '100.0%', 'not defined')
    >>> format_percent(0.5, 2), format_percent(0.2, 0)
    ('50.00%', '20%')
    """
    if math.isnan(share):
        return UNDEFINED
    if digits is None:
        digits = 1 if abs(share) >= 0.1 else 2
    percentage = 100 * share
    distance = min(abs(percentage), abs(100 - percentage)) if share < 1 else abs(percentage)
    decimals = max(digits, _significant_decimals(distance)) if distance < 1 else digits
    return f"{_fixed(percentage, decimals)}%"


def format_percent_interval(low: float, high: float) -> str:
    """Format the interval of a share.

    Examples
    --------
    >>> format_percent_interval(0.01, 0.125)
    '1.00% to 12.5%'
    """
    return _interval(low, high, format_percent)


def format_confidence_level(level: float) -> str:
    """Format a confidence level.

    Examples
    --------
    >>> format_confidence_level(0.95), format_confidence_level(0.999)
    ('95%', '99.9%')
    """
    return f"{100 * level:g}%"


def format_number(value: float, digits: int = 0) -> str:
    """Format a count or another number, with thousands separators.

    At least two significant digits are kept.

    Examples
    --------
    >>> format_number(12345.6), format_number(0.042, 1), format_number(3.0, 1), format_number(4)
    ('12,346', '0.042', '3.0', '4')
    """
    if math.isnan(value):
        return UNDEFINED
    if math.isclose(value, round(value, digits), rel_tol=1e-9, abs_tol=_NOISE):
        return _fixed(value, digits)
    return _fixed(value, max(digits, _significant_decimals(abs(value))))


def format_compact(value: float) -> str:
    """Format a count or an amount in few characters.

    Examples
    --------
    >>> format_compact(9_876), format_compact(123_456), format_compact(1_234_567)
    ('9,876', '123k', '1.23M')
    >>> format_compact(0.25)
    '0.25'
    """
    if abs(value) < 1e5:
        is_whole = abs(value) >= 100 or value == int(value)
        return f"{value:,.0f}" if is_whole else f"{value:.3g}"
    value = float(f"{value:.3g}")  # first, so that 999,999 is 1M
    unit, suffix = next((unit, suffix) for unit, suffix in _UNITS if abs(value) >= unit)
    return f"{value / unit:.3g}{suffix}"


def format_amount(value: float, currency: str = "") -> str:
    """Format an amount of money; an amount below 1,000 keeps its cents.

    Examples
    --------
    >>> format_amount(12345.6, "EUR"), format_amount(12.5, "EUR"), format_amount(250.0)
    ('12,346 EUR', '12.50 EUR', '250')
    """
    if math.isnan(value):
        return UNDEFINED
    is_whole = abs(value) >= 1000 or math.isclose(value, round(value), rel_tol=0, abs_tol=1e-9)
    return f"{format_number(value, 0 if is_whole else 2)} {currency}".rstrip()


def format_decimal(value: float, digits: int = 3) -> str:
    """Format a metric that is not a share, such as an area or a correlation.

    A value that is neither 0 nor 1 is never rounded to it.

    Examples
    --------
    >>> format_decimal(0.91249), format_decimal(0.00004), format_decimal(0.99996)
    ('0.912', '0.000040', '0.999960')
    """
    if math.isnan(value):
        return UNDEFINED
    distance = min(abs(value), abs(1 - abs(value)))
    lost = _NOISE <= distance < 0.5 * 10.0**-digits
    return _fixed(value, _significant_decimals(distance) if lost else digits)


def format_signed(value: float, digits: int = 3) -> str:
    r"""Format a difference with its sign.

    Examples
    --------
    >>> format_signed(0.0512), format_signed(-0.2), format_signed(0.00004)
    ('+0.051', '\u22120.200', '+0.000040')
    """
    if math.isnan(value):
        return UNDEFINED
    if abs(value) < _NOISE:
        return _fixed(0.0, digits)
    lost = abs(value) < 0.5 * 10.0**-digits
    return _fixed(value, _significant_decimals(abs(value)) if lost else digits, "+")


def format_decimal_interval(low: float, high: float, digits: int = 3, *, sign: bool = False) -> str:
    """Format the interval of a metric that is not a share, or with ``sign`` of a difference.

    Examples
    --------
    >>> format_decimal_interval(0.1, 0.25), format_decimal_interval(0.1, 0.25, sign=True)
    ('0.100 to 0.250', '+0.100 to +0.250')
    """
    form = format_signed if sign else format_decimal
    return _interval(low, high, lambda end: form(end, digits))


def format_threshold(value: float) -> str:
    """Format a threshold; an infinite one alerts nothing.

    Examples
    --------
    >>> format_threshold(0.123456), format_threshold(0.99999), format_threshold(float("inf"))
    ('0.1235', '0.99999', 'none')
    """
    if math.isnan(value):
        return UNDEFINED
    if math.isinf(value):
        return "none"
    # Four digits would write 0.99999 as 1, which is another threshold.
    return f"{value:.4g}" if f"{value:.4g}" != "1" or value == 1 else repr(float(value))


def format_duration(duration: dt.timedelta) -> str:
    """Format a duration in its largest whole unit.

    Examples
    --------
    >>> import datetime as dt
    >>> format_duration(dt.timedelta(days=7, hours=6)), format_duration(dt.timedelta(hours=1))
    ('7.2 days', '1.0 hour')
    """
    seconds = duration.total_seconds()
    units = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}
    unit = next((name for name in units if abs(seconds) >= units[name]), "second")
    count = f"{seconds / units[unit]:.1f}"
    return f"{count} {unit}{'' if count == '1.0' else 's'}"


def format_date(moment: dt.datetime) -> str:
    """Format the date of a moment."""
    return f"{moment:%Y-%m-%d}"


def format_group(value: object) -> str:
    """Format the value that defines a group; a text that could be taken for a marker is quoted.

    Examples
    --------
    >>> format_group("online"), format_group(None), format_group("unknown"), format_group(12.0)
    ('online', 'unknown', '“unknown”', '12')
    """
    if is_missing(value):
        return _UNKNOWN
    if isinstance(value, float) and value.is_integer():  # whole numbers, of which some are missing
        return str(int(value))
    text = str(value)
    return f"“{text}”" if text in {_UNKNOWN, _EMPTY} else text or _EMPTY


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NaT or pandas' NA."""
    return value is None or type(value).__name__ in {"NAType", "NaTType"} or value != value


def join_words(words: Sequence[str]) -> str:
    """Join words as in a sentence.

    Examples
    --------
    >>> join_words(["a"]), join_words(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def pluralize(count: int, noun: str) -> str:
    """Return a count with its noun.

    Examples
    --------
    >>> pluralize(1, "fraud"), pluralize(1200, "fraud")
    ('1 fraud', '1,200 frauds')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _interval(low: float, high: float, form: Callable[[float], str]) -> str:
    return UNDEFINED if math.isnan(low) or math.isnan(high) else f"{form(low)} to {form(high)}"


def _significant_decimals(value: float) -> int:
    """Return the decimals that keep two significant digits; 0 for a rounding error."""
    return 1 - math.floor(math.log10(value)) if value >= _NOISE else 0


def _fixed(value: float, digits: int, sign: str = "-") -> str:
    """Format a number with that many decimals, or in powers of ten if these are too many."""
    kind = f".{digits}f" if digits <= _MAX_DECIMALS or abs(value) >= 1e-3 else ".1e"
    return f"{value:{sign},{kind}}".replace("-", "\u2212", int(value < 0))


# -- Metrics ---------------------------------------------------------------------------------------

#: The name of each metric, and its definition.
METRICS = {
    "precision": ("precision", "share of the alerts that were fraud"),
    "recall": ("recall", "share of the frauds that were detected"),
    "value_detection_rate": ("value detection rate", "share of the fraud value that was alerted"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "specificity": ("specificity", "share of the genuine transactions that were not alerted"),
    "false_positive_rate": (
        "false-positive rate",
        "share of the genuine transactions that were alerted",
    ),
    "false_positive_ratio": ("false-positive ratio", "false alerts per detected fraud"),
    "alert_rate": ("alert rate", "share of the transactions that were alerted"),
    "accuracy": ("accuracy", "share of the transactions that were classified correctly"),
    "balanced_accuracy": ("balanced accuracy", "mean of recall and specificity"),
    "mcc": ("MCC", "correlation of alerts and frauds, from \u22121 to 1"),
    "roc_auc": ("ROC AUC", "probability that a fraud scores higher than a genuine transaction"),
    "gini": ("Gini", "2 \u00d7 ROC AUC \u2212 1"),
    "ks": ("KS", "largest gap between the shares of frauds and of genuine transactions alerted"),
    "average_precision": ("average precision", "mean precision over the frauds"),
    "brier": ("Brier score", "mean squared error of the score; 0 is best"),
    "log_loss": ("log loss", "mean negative log-likelihood of the labels; 0 is best"),
    "prevalence": ("prevalence", "share of the transactions that were fraud"),
}
#: Metrics that have a parameter.
WITH_PARAMETERS = {
    "recall_at_fpr": ("recall at FPR", "recall at a given false positive rate"),
    "cost": ("cost", "alerts, missed fraud and detected fraud that is not recovered"),
    "precision_at_k": ("precision@k", "share of frauds among the first k transactions of a day"),
    "card_precision_at_k": ("card precision@k", "share of compromised cards among k of a day"),
}
#: Metrics that are written in percent.
SHARES = {
    "precision",
    "recall",
    "value_detection_rate",
    "specificity",
    "false_positive_rate",
    "alert_rate",
    "accuracy",
    "prevalence",
    "recall_at_fpr",
}


def metric_name(metric: str, *, k: int, max_fpr: float) -> str:
    """Return the name of a metric, with its parameter.

    Examples
    --------
    >>> metric_name("card_precision_at_k", k=100, max_fpr=0.01)
    'card precision@100'
    >>> metric_name("mcc", k=100, max_fpr=0.01)
    'MCC'
    """
    if metric == "recall_at_fpr":
        return f"recall at {100 * max_fpr:g}% FPR"
    return (METRICS | WITH_PARAMETERS)[metric][0].replace("@k", f"@{k}")


def format_metric(metric: str, value: float) -> str:
    """Format the value of a metric.

    Examples
    --------
    >>> format_metric("recall", 0.25), format_metric("roc_auc", 0.9)
    ('25.0%', '0.900')
    """
    if metric == "cost":
        return format_number(value, 2)
    return format_percent(value) if metric in SHARES else format_decimal(value)


def format_interval(metric: str, low: float, high: float) -> str:
    """Format the interval of a metric; an end that is infinite is none.

    Examples
    --------
    >>> format_interval("false_positive_ratio", 1.5, math.inf)
    'at least 1.500'
    """
    if high == math.inf:
        return f"at least {format_metric(metric, low)}"
    return _interval(low, high, lambda end: format_metric(metric, end))


def format_difference(metric: str, value: float) -> str:
    r"""Format the difference of a metric; a difference of shares is in percentage points.

    Examples
    --------
    >>> format_difference("recall", 0.25), format_difference("recall", 0.012)
    ('+25.0\xa0pp', '+1.20\xa0pp')
    >>> format_difference("roc_auc", 0.04)
    '+0.040'
    """
    if metric == "cost":
        return format_signed(value, 2)
    if metric not in SHARES or math.isnan(value):
        return format_signed(value)
    points = 100 * value
    return f"{format_signed(points, 1 if abs(points) >= 10 else 2)}\u00a0pp"


def format_difference_interval(metric: str, low: float, high: float) -> str:
    """Format the interval of a difference."""
    return _interval(low, high, lambda end: format_difference(metric, end))
