"""Identifiers of customers, and what replaces each of them: None removes it."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import TYPE_CHECKING, Any

from synfin_analytics.database._secret import Secret
from synfin_analytics.database.models import TABLES
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from synfin_analytics.database.models import Base

#: Columns of transactions that hold an identifier of the customer. Other people may have the same.
IDENTIFIERS = ("card_id", "device_id", "ip_address")
#: Columns of customers whose values are looked for in the JSON of patterns.
CONTACTS = ("email", "phone")
PATTERN_TABLES = ("fraud_patterns", "anomaly_patterns")


@dataclasses.dataclass(frozen=True, repr=False)
class Identifiers:
    """What identifies the customers; a traceback shows none of it.

    Attributes
    ----------
    customers
        Replacement of each customer id.
    transactions
        Ids of transactions that are erased.
    by_column
        Replacements of other identifiers, by column: cards, devices, addresses.
    named
        Customers whom a pattern named, which :func:`rewrite_pattern` adds.
    """

    customers: Mapping[str, str | None]
    transactions: frozenset[str] = frozenset()
    by_column: Mapping[str, Mapping[str, str | None]] = dataclasses.field(default_factory=dict)
    named: set[str] = dataclasses.field(default_factory=set)

    @property
    def others(self) -> dict[str, str | None]:
        """Replacements of other identifiers, of whatever column."""
        return {key: new for column in self.by_column.values() for key, new in column.items()}

    @functools.cached_property
    def in_texts(self) -> tuple[str, ...]:
        """Identifiers that are looked for in sentences, too: see :func:`is_distinctive`."""
        contacts = [key for name in CONTACTS for key in self.by_column.get(name, ())]
        return tuple(filter(is_distinctive, [*self.customers, *contacts]))

    @property
    def erases(self) -> bool:
        """Whether the customers are erased, not replaced."""
        return None in self.customers.values()

    def __repr__(self) -> str:
        return f"Identifiers({len(self.customers)} customers)"


def is_distinctive(identifier: str) -> bool:
    """Whether a word of a sentence that equals the identifier can mean nothing else.

    Examples
    --------
    >>> [is_distinctive(text) for text in ("C000017", "48151623", "10", "card")]
    [True, True, False, False]
    """
    digits = re.findall(r"\d", identifier)
    return len(digits) >= 6 or (bool(digits) and re.search(r"[^\W\d_]", identifier) is not None)


def check_customer_ids(customer_id: object) -> list[str]:
    """Return the ids as secrets, each once; no message shows a value.

    Raises
    ------
    ArgumentError
        It is neither a string nor a non-empty sequence of strings.

    Examples
    --------
    >>> check_customer_ids(["C1", "C2", "C1"])
    ['***', '***']
    >>> check_customer_ids(17)
    Traceback (most recent call last):
    synfin_analytics.exceptions.ArgumentError: `customer_id` must be a string, or a list of \
strings; got an object of type int.
    """
    values: list[Any]
    if isinstance(customer_id, str):
        values = [customer_id]
    else:
        try:
            values = list(customer_id)  # type: ignore[call-overload]  # the error is caught
        except TypeError:
            raise _not_strings(customer_id) from None
    for value in values:
        if not isinstance(value, str):
            raise _not_strings(value)
        if not _is_storable(value):
            raise ArgumentError(
                "`customer_id` must be text that PostgreSQL can store; got a NUL character or half "
                "of a surrogate pair."
            )
    if not values:
        raise ArgumentError("`customer_id` must be at least one id; got an empty list.")
    return [Secret(value) for value in dict.fromkeys(values)]


def _not_strings(value: object) -> ArgumentError:
    return ArgumentError(
        "`customer_id` must be a string, or a list of strings; got an object of type "
        f"{type(value).__name__}."
    )


def _is_storable(text: str) -> bool:
    plain = text.reveal() if isinstance(text, Secret) else text
    return "\0" not in plain and not any("\ud800" <= character <= "\udfff" for character in plain)


def reveal(text: str) -> str:
    """Return the text of an id, which may be a secret."""
    return text.reveal() if isinstance(text, Secret) else text


def linked_tables() -> dict[str, tuple[str, str]]:
    """Return the tables whose rows belong to a customer, parents first.

    Returns
    -------
    dict
        By table, the column that refers to the owner, and the table that it refers to.

    Examples
    --------
    >>> linked_tables()["model_predictions"]
    ('transaction_id', 'transactions')
    """
    linked = {"customers": ("customer_id", "customers")}
    for name, model in TABLES.items():
        for key in model.__table__.foreign_keys:
            if key.column.table.name in linked and name not in linked:
                linked[name] = (key.parent.name, key.column.table.name)
    return linked


def cleared_columns(model: type[Base]) -> list[str]:
    """Return the columns with personal data that a pseudonymisation sets to NULL.

    Examples
    --------
    >>> from synfin_analytics.database.models import Transaction
    >>> cleared_columns(Transaction)
    ['latitude', 'longitude']
    """
    return [
        column.name
        for column in model.__table__.columns
        if column.info.get("pii") and column.name not in IDENTIFIERS
    ]


def retained_columns(model: type[Base], without: Sequence[str] = ()) -> list[str]:
    """Return the columns that a pseudonymisation leaves as they are.

    Examples
    --------
    >>> from synfin_analytics.database.models import Customer
    >>> retained_columns(Customer)[:3]
    ['customer_id', 'age', 'gender']
    """
    excluded = {*cleared_columns(model), *without}
    return [column.name for column in model.__table__.columns if column.name not in excluded]
