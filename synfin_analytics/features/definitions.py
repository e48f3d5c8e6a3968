"""Definitions of the 69 features: the source of the tables in the guide."""

from __future__ import annotations

from typing import NamedTuple

#: A is the amount of the row, t its timestamp. Earlier rows are those before it in the order of
#: time, those with the same timestamp in the order of their ids.
_EARLIER = "earlier rows of the customer"
_MERCHANT = "earlier rows of the merchant"
_LABELS = "labels of the merchant's earlier rows known at t"
_ROW = "the row"
_NULL = "NULL"


class Definition(NamedTuple):
    """Definition of one feature in words.

    Attributes
    ----------
    group
        Group of features that it belongs to.
    name
        Column of ``ml_features``.
    formula, unit
        How it is computed, and in which unit.
    window
        Rows that it is computed from, and which ends of a window belong to it.
    includes_current
        Whether the row itself counts.
    if_empty
        The value if the window is empty or a cell is missing.

    Examples
    --------
    >>> from synfin_analytics.features import DEFINITIONS
    >>> definition = DEFINITIONS[0]
    >>> definition.name, definition.formula, definition.includes_current
    ('amount_normalized', 'A / m, m the mean of amounts', 'no')
    """

    group: str
    name: str
    formula: str
    unit: str
    window: str
    includes_current: str
    if_empty: str


def _velocity() -> list[tuple[str, ...]]:
    spans = {"1h": "1 h", "6h": "6 h", "24h": "24 h", "7d": "7 d", "30d": "30 d"}
    window = {name: f"the customer's, (t - {span}, t]" for name, span in spans.items()}
    never = "never: the row itself counts"
    return [
        *(
            (f"tx_velocity_{name}", "number of rows", "rows", window[name], "yes", never)
            for name in spans
        ),
        *(
            (f"amount_velocity_{name}", "sum of amounts", "money", window[name], "yes", never)
            for name in spans
        ),
        *(
            (f"avg_amount_{name}", "mean of amounts", "money", window[name], "yes", never)
            for name in ("24h", "7d", "30d")
        ),
        *(
            (f"distinct_merchants_{name}", "number of distinct merchants", "merchants",
             window[name], "yes", never)
            for name in ("24h", "7d")
        ),
        ("distinct_countries_24h", "number of distinct known countries", "countries",
         window["24h"], "yes", "NULL if no country is known"),
    ]  # fmt: skip


def _merchant() -> list[tuple[str, ...]]:
    spans = {"1d": "1 d", "7d": "7 d", "30d": "30 d"}
    rate = "frauds / labels"
    return [
        ("merchant_avg_amount", "mean of amounts", "money", _MERCHANT, "no", _NULL),
        ("merchant_transaction_count", "number of rows", "rows", _MERCHANT, "no", "0"),
        ("merchant_fraud_rate", rate, "share", _LABELS, "no", "NULL (0/0)"),
        *(
            (f"merchant_tx_count_{name}", "number of rows", "rows",
             f"the merchant's, (t - {span}, t]", "yes", "never: the row itself counts")
            for name, span in spans.items()
        ),
        *(
            (f"merchant_fraud_rate_{name}", rate, "share",
             f"labels of the merchant's earlier rows that became known in (t - {span}, t]", "no",
             "NULL (0/0)")
            for name, span in spans.items()
        ),
    ]  # fmt: skip


_GROUPS: dict[str, list[tuple[str, ...]]] = {
    "Amount": [
        ("amount_normalized", "A / m, m the mean of amounts", "ratio", _EARLIER, "no", _NULL),
        ("amount_log", "ln(1 + A)", "log of money", _ROW, "yes", "never"),
        ("amount_zscore", "(A - m) / s, s the standard deviation (n - 1)", "s", _EARLIER, "no",
         "NULL, also for one row or if s = 0"),
        ("amount_deviation_from_mean", "A - m", "money", _EARLIER, "no", _NULL),
        ("amount_percentile", "share of amounts below A", "share", _EARLIER, "no", _NULL),
        ("amount_to_max_ratio", "A / largest amount", "ratio", _EARLIER, "no", _NULL),
        ("amount_to_merchant_avg_ratio", "A / mean of amounts", "ratio", _MERCHANT, "no", _NULL),
        ("amount_is_round", "A is a multiple of 10 and not 0", "boolean", _ROW, "yes", "never"),
    ],
    "Time of the row (UTC)": [
        ("hour_sin", "sin(2π · time of day / 24 h)", "", _ROW, "yes", "never"),
        ("hour_cos", "cos of the same", "", _ROW, "yes", "never"),
        ("day_sin", "sin(2π · d / 7), d = 0 on Monday", "", _ROW, "yes", "never"),
        ("day_cos", "cos of the same", "", _ROW, "yes", "never"),
        ("month_sin", "sin(2π · (month - 1) / 12)", "", _ROW, "yes", "never"),
        ("month_cos", "cos of the same", "", _ROW, "yes", "never"),
        ("is_weekend", "Saturday or Sunday", "boolean", _ROW, "yes", "never"),
        ("is_night", "hour < 6", "boolean", _ROW, "yes", "never"),
        ("is_holiday", "column `is_holiday`", "boolean", _ROW, "yes", "NULL if missing"),
        ("is_business_hours", "9 ≤ hour < 17, Monday to Friday", "boolean", _ROW, "yes", "never"),
    ],
    "Velocity": _velocity(),
    "Pattern": [
        ("unusual_time", "less than 1/20 of the rows were in this three-hour slot",
         "boolean", _EARLIER, "no", "NULL if fewer than 10"),
        ("unusual_location", "distance_from_usual > 50 km, and > 3 times the spread of the places "
         "(root mean squared distance from the centre)", "boolean",
         "earlier places of the customer", "no", "NULL if fewer than 10, or without a place"),
        ("unusual_amount", "A > m + 3 s", "boolean", _EARLIER, "no", "NULL if fewer than 10"),
        ("unusual_merchant", "less than 1/20 of the rows had this merchant category", "boolean",
         f"{_EARLIER} with a category", "no", "NULL if fewer than 10, or without a category"),
        ("is_new_merchant", "no row with this merchant", "boolean", _EARLIER, "no", "true"),
        ("is_new_country", "no row in this country", "boolean", _EARLIER, "no",
         "true; NULL without a country"),
        ("is_new_device", "no row from this device", "boolean", _EARLIER, "no",
         "true; NULL without a device"),
        ("is_burst", "at least 3 rows", "boolean", "the customer's, (t - 10 min, t]", "yes",
         "false"),
    ],
    "Behaviour": [
        ("customer_lifetime_value", "sum of amounts", "money", _EARLIER, "no", "0"),
        ("customer_avg_amount", "mean m of amounts", "money", _EARLIER, "no", _NULL),
        ("customer_std_amount", "standard deviation s of amounts (n - 1)", "money", _EARLIER, "no",
         "NULL, also for one row"),
        ("customer_max_amount", "largest amount", "money", _EARLIER, "no", _NULL),
        ("customer_transaction_count", "number n of rows", "rows", _EARLIER, "no", "0"),
        ("customer_transaction_frequency", "n / days since the first, at least one day",
         "rows a day", _EARLIER, "no", _NULL),
        ("customer_active_days", "number of distinct days (UTC)", "days", _EARLIER, "no", "0"),
        ("customer_merchant_diversity", "distinct merchants / n", "share", _EARLIER, "no", _NULL),
        ("customer_prior_fraud_count", "number of frauds", "rows",
         "labels of the customer's earlier rows known at t", "no", "NULL if none is known"),
    ],
    "Merchant": _merchant(),
    "Distance": [
        ("distance_normalized", "distance from home / (1 km + mean of distances from home)",
         "ratio", _EARLIER, "no", "NULL, or if the distance is unknown"),
        ("distance_from_last_normalized",
         "distance from the last place / (1 km + mean of such distances)", "ratio", _EARLIER, "no",
         "NULL, or if the distance is unknown"),
        ("travel_speed_kmh", "distance from the last place / time since then, at least 1 min",
         "km/h", "the customer's last earlier row with a place", "no", _NULL),
        ("impossible_travel", "travel_speed_kmh > 900 over more than 50 km", "boolean",
         "the customer's last earlier row with a place", "no", _NULL),
        ("distance_from_usual", "distance from the centre of the places", "km",
         "earlier places of the customer", "no", "NULL, or without a place"),
    ],
    "Time since": [
        ("time_since_last_normalized", "time since the last / mean time between rows", "ratio",
         _EARLIER, "no", "NULL if fewer than 2, or if all have one timestamp"),
        ("time_since_signup", "t - account_created of the customer", "days", _ROW, "yes",
         "NULL without account_created"),
        ("time_since_last_same_merchant", "t - time of the last row with this merchant", "days",
         _EARLIER, "no", _NULL),
        ("time_since_first_transaction", "t - time of the first row", "days", _EARLIER, "no",
         _NULL),
    ],
}  # fmt: skip

#: In the order of the table ``ml_features``.
DEFINITIONS = tuple(Definition(group, *row) for group, rows in _GROUPS.items() for row in rows)


def definitions_markdown() -> str:
    """Return the tables of all definitions in Markdown, one for each group.

    Examples
    --------
    >>> print(definitions_markdown()[:10])
    ### Amount
    """
    lines: list[str] = []
    for group in _GROUPS:
        lines += [f"### {group}", ""]
        lines += ["| feature | formula | unit | window | current row | if empty |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        for definition in DEFINITIONS:
            if definition.group == group:
                _, name, *cells = definition
                lines.append(f"| {' | '.join((f'`{name}`', *cells))} |")
        lines.append("")
    return "\n".join(lines)
