"""Identifiers in the JSON of patterns: found at any depth, removed or replaced."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synfin_analytics.io.erasure._identifiers import Identifiers

#: Keys whose texts are names of merchants, which may equal an id.
_OF_MERCHANTS = re.compile("merchant|terminal|^subject_type$", re.IGNORECASE)
#: Keys whose texts are identifiers of people although they mention merchants.
_OF_PEOPLE = re.compile("customer|card|device|transaction", re.IGNORECASE)
#: Keys with numbers that count or limit, and are no ids.
_OF_FIGURES = re.compile("threshold|figure|erased|count|^(n|min|max)_", re.IGNORECASE)
#: In a text, in place of an identifier that was erased.
_ERASED_TEXT = "[erased]"
_REMOVED = object()


@dataclasses.dataclass(repr=False)
class Pattern:
    """What a stored pattern says about customers; a traceback shows none of it.

    Attributes
    ----------
    characteristics
        Its JSON.
    name, description, detection_count
        The columns of the same names.
    """

    characteristics: Any
    name: str | None
    description: str | None
    detection_count: int | None


def rewrite_pattern(pattern: Pattern, identifiers: Identifiers) -> Pattern | None:
    """Remove or replace the identifiers in a pattern.

    ``detection_count`` follows the list of transactions. Figures such as the total amount stay:
    they are what the detector measured, and identify nobody. ``characteristics["erased"]`` counts
    the customers and transactions that have been removed, so that a reader sees why they differ.

    Parameters
    ----------
    pattern
        The pattern.
    identifiers
        What to remove or replace.

    Returns
    -------
    Pattern or None
        The new pattern, equal to ``pattern`` if it has none of the identifiers; None if it is
        about nobody any more.

    Examples
    --------
    >>> from synfin_analytics.io.erasure._identifiers import Identifiers
    >>> pattern = Pattern({"customers": ["C1", "C2"]}, None, "C1 and C2 share a device", None)
    >>> rewrite_pattern(pattern, Identifiers({"C1": None})).description
    '[erased] and C2 share a device'
    """
    rewriter = _Rewriter(identifiers, pattern.characteristics)
    characteristics = rewriter.rewrite(pattern.characteristics, ())
    name, description = map(rewriter.rewrite_text, (pattern.name, pattern.description))
    if not rewriter.hits:
        return pattern
    identifiers.named.update(rewriter.hits & set(identifiers.customers))
    if characteristics is _REMOVED or _is_about_nobody(characteristics, pattern.characteristics):
        return None
    count = pattern.detection_count
    n_transactions = len(rewriter.hits & identifiers.transactions)
    if identifiers.erases and isinstance(characteristics, dict):
        n_customers = len(rewriter.hits & set(identifiers.customers))
        _count_erased(characteristics, customers=n_customers, transactions=n_transactions)
        if n_transactions and isinstance(characteristics.get("transactions"), list):
            count = len(characteristics["transactions"])
    return Pattern(characteristics, name, description, count)


def _count_erased(characteristics: dict[str, Any], **counts: int) -> None:
    before = characteristics.get("erased")
    before = before if isinstance(before, dict) else {}
    characteristics["erased"] = {
        name: count + (before[name] if isinstance(before.get(name), int) else 0)
        for name, count in counts.items()
    }


class _Rewriter:
    """Rewrite one JSON value, and remember which identifiers it had."""

    def __init__(self, identifiers: Identifiers, characteristics: Any) -> None:
        self._customers = identifiers.customers
        self._transactions = identifiers.transactions
        self._others = identifiers.others
        self._in_texts = identifiers.in_texts
        subject_type = characteristics.get("subject_type") if _is_dict(characteristics) else None
        self._has_merchants = subject_type == "merchants"
        self.hits: set[str] = set()

    def rewrite(self, value: Any, path: tuple[str, ...]) -> Any:
        """Return the value without identifiers, or _REMOVED."""
        of_merchants = bool(path) and self._names_merchants(path[-1])
        if isinstance(value, dict):
            rewritten = {}
            for key, item in value.items():
                new_key = key if of_merchants else self._replace(key)
                if new_key is not _REMOVED:
                    new_item = self.rewrite(item, (*path, key))
                    rewritten[new_key] = None if new_item is _REMOVED else new_item
            return rewritten
        if isinstance(value, list):
            items = [self.rewrite(item, path) for item in value]
            return [item for item in items if item is not _REMOVED]
        if of_merchants:
            return value
        if isinstance(value, str):
            new_value = self._replace(value)
            return self.rewrite_text(value) if new_value == value else new_value
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if (
            is_number
            and path
            and re.search("customer|subject|transaction", path[-1].lower())
            and not any(map(_OF_FIGURES.search, path))
        ):
            new_value = self._replace(str(value))
            return value if new_value == str(value) else new_value
        return value

    def _names_merchants(self, key: str) -> bool:
        if key == "subjects":
            return self._has_merchants
        return bool(_OF_MERCHANTS.search(key)) and not _OF_PEOPLE.search(key)

    def _replace(self, text: str) -> Any:
        if text in self._transactions:
            self.hits.add(text)
            return _REMOVED
        for replacements in (self._customers, self._others):
            if text in replacements:
                self.hits.add(text)
                replacement = replacements[text]
                return _REMOVED if replacement is None else replacement
        return text

    def rewrite_text(self, text: str | None) -> str | None:
        """Replace, as words of a text, distinctive identifiers and those the pattern had."""
        if not text or " " not in text.strip():
            words = self.hits if text else set()
        else:
            words = self.hits | {key for key in self._in_texts if key in text}
        for hit in sorted(words, key=len, reverse=True):
            new = self._customers.get(hit) or self._others.get(hit) or _ERASED_TEXT
            word = rf"(?<![\w-]){re.escape(hit)}(?![\w-])"
            text, n_replaced = re.subn(word, new.replace("\\", r"\\"), text or "")
            if n_replaced:
                self.hits.add(hit)
        return text


def _is_about_nobody(characteristics: Any, before: Any) -> bool:
    """Whether a list of the pattern that names whom it is about has become empty."""
    if not _is_dict(characteristics):
        return False
    return any(
        name in characteristics and not characteristics[name] and before[name]
        for name in ("subjects", "customers", "transactions", "customer_id", "customer")
    )


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)
