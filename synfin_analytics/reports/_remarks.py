"""What is odd about the amounts and times of the rows of a report, as counts and in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from synfin_analytics._core.formatting import join_words, pluralize
from synfin_analytics.reports._groups import has, is_
from synfin_analytics.reports._rows import YEARS

if TYPE_CHECKING:
    from synfin_analytics.reports._rows import Roles


@dataclass(frozen=True)
class Oddities:
    """How many rows are odd.

    Attributes
    ----------
    missing_amounts, negative_amounts
        Rows without an amount, and with one below 0.
    early_labels
        Labels dated before the transaction.
    missing_times, placeholder_times
        Rows without a time, and with one of a year that no transaction has.
    same_time
        Whether several rows have all the same time.
    repeated
        Rows with the customer, time and amount of an earlier one.
    """

    missing_amounts: int = 0
    negative_amounts: int = 0
    early_labels: int = 0
    missing_times: int = 0
    placeholder_times: int = 0
    same_time: bool = False
    repeated: int = 0


def describe_oddities(counts: Oddities, roles: Roles) -> list[str]:
    """Return the remarks about the amounts and times of rows."""
    remarks = []
    if n_missing := counts.missing_amounts:
        remarks.append(
            f"{pluralize(n_missing, 'row')} {has(n_missing)} no amount; a missing amount counts as "
            "0."
        )
    if n_negative := counts.negative_amounts:
        remarks.append(
            f"{pluralize(n_negative, 'row')} {has(n_negative)} a negative amount, which is "
            "subtracted from sums and costs. If these are refunds, leave them out; if amounts are "
            "debits, change their sign."
        )
    if n_early := counts.early_labels:
        remarks.append(
            f"{pluralize(n_early, 'label')} {is_(n_early)} dated before the transaction "
            f"({roles.label_available_at!r} is earlier than {roles.timestamp!r})."
        )
    if n_missing := counts.missing_times:
        remarks.append(
            f"{pluralize(n_missing, 'row')} {has(n_missing)} no time in {roles.timestamp!r}, so "
            "what needs times is left out. Fill or drop these rows to have it."
        )
    elif n_placeholders := counts.placeholder_times:
        remarks.append(
            f"{pluralize(n_placeholders, 'row')} {has(n_placeholders)} a time in "
            f"{roles.timestamp!r} before the year {YEARS[0]} or after {YEARS[1]}, as "
            "placeholders for unknown times are, so what needs times is left out. Fill or drop "
            "these rows to have it."
        )
    elif counts.same_time:
        remarks.append("All transactions have the same time.")
    if n_repeated := counts.repeated:
        keys = join_words(roles.repeated)
        remarks.append(
            f"{pluralize(n_repeated, 'row')} {has(n_repeated)} the same {keys} as another row; "
            "each counts. If these are the same transactions, drop the copies."
        )
    return remarks
