"""Rules kept in a TOML file, which a team versions."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from synfin_analytics._core.formatting import pluralize
from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.metrics.curve import check_costs

_TOP_KEYS = ("rules", "cost_per_alert")
_RULE_KEYS = ("condition", "description", "owner")
#: What tomllib says of a name that is given twice.
_REPEATED = re.compile(r"Cannot (declare|overwrite|mutate|redefine)|twice")
#: The head of a rule: [rules.night] or [rules."night spree"].
_HEAD = re.compile(r"""^\s*\[\s*rules\s*\.\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*\]""", re.MULTILINE)


@dataclass(frozen=True)
class RuleFile(Mapping[str, str]):
    """Rules of a file: a mapping of names to conditions; :func:`read_rules` returns it.

    Attributes
    ----------
    path
        The file.
    descriptions, owners
        What rules look for, and who maintains them, by name; rules without one are left out.
    cost_per_alert
        Cost of an alert; None if the file has none.

    Examples
    --------
    >>> rules = RuleFile(Path("rules.toml"), {"night": "amount > 50"}, owners={"night": "desk 2"})
    >>> rules["night"], rules.owners
    ('amount > 50', {'night': 'desk 2'})
    """

    path: Path
    _conditions: Mapping[str, str]
    descriptions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    owners: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    cost_per_alert: float | None = None

    def __getitem__(self, name: str) -> str:
        return self._conditions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._conditions)

    def __len__(self) -> int:
        return len(self._conditions)

    def __repr__(self) -> str:
        return f"RuleFile({str(self.path)!r}, {pluralize(len(self), 'rule')})"


def read_rules(path: str | os.PathLike[str]) -> RuleFile:
    r"""Read rules from a TOML file.

    A rule is a table with its ``condition``, and optionally a ``description`` and an ``owner``. The
    file may give a ``cost_per_alert``, for all rules: an alert is reviewed once, however many rules
    fire on the transaction::

        cost_per_alert = 5

        [rules."night spree"]
        condition = "EXTRACT(hour FROM timestamp) < 5 AND amount > 50"
        description = "Payments at night"
        owner = "desk 2"

    Parameters
    ----------
    path
        The file, in UTF-8.

    Returns
    -------
    RuleFile
        Conditions by name, as :func:`synfin_analytics.evaluate_rules` takes them. The conditions
        are not parsed yet: that depends on the columns of the transactions.

    Raises
    ------
    ArgumentError
        The file cannot be read, or is not TOML; two rules have one name; a rule has no condition;
        or a value is not of its type.
    NotFoundError
        A key is unknown; the message suggests the nearest.

    Examples
    --------
    >>> import tempfile
    >>> from synfin_analytics import read_rules
    >>> text = '[rules."large online"]\ncondition = "amount > 500 AND is_online"'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "rules.toml")
    ...     _ = file.write_text(text)
    ...     dict(read_rules(file))
    {'large online': 'amount > 500 AND is_online'}
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(f"`path` must be the name of a file; got {type(path).__name__}.")
    file = Path(path)
    place = repr(str(file))
    document = _parse(_read(file, place), place)
    _check_keys(document, _TOP_KEYS, place)
    tables = document.get("rules")
    if not isinstance(tables, dict) or not tables:
        raise ArgumentError(
            f'{place} must contain at least one rule, such as [rules."night"] with a line '
            'condition = "amount > 50"; it has none.'
        )
    for name, rule in tables.items():
        _check_rule(name, rule, place)
    cost = document.get("cost_per_alert")
    if cost is not None:
        if isinstance(cost, bool) or not isinstance(cost, int | float):
            raise ArgumentError(f"cost_per_alert in {place} must be a number; got {cost!r}.")
        cost = check_costs(cost, 1.0)[0]
    return RuleFile(
        file,
        {name: rule["condition"] for name, rule in tables.items()},
        {name: rule["description"] for name, rule in tables.items() if "description" in rule},
        {name: rule["owner"] for name, rule in tables.items() if "owner" in rule},
        cost,
    )


def _read(file: Path, place: str) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ArgumentError(f"There is no file {place}.") from error
    except UnicodeDecodeError as error:
        raise ArgumentError(f"{place} must be a text file in UTF-8.") from error
    except OSError as error:
        raise ArgumentError(f"Cannot read {place}: {error.strerror}.") from error


def _parse(text: str, place: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        names = [next(filter(None, groups), "") for groups in _HEAD.findall(text)]
        repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if repeated and _REPEATED.search(str(error)):
            raise ArgumentError(
                f"{place} has two rules of the name {repeated[0]!r}: rename one of them."
            ) from error
        raise ArgumentError(f"{place} is not valid TOML: {error}.") from error


def _check_keys(table: Mapping[str, Any], keys: tuple[str, ...], location: str) -> None:
    for key in table:
        if key not in keys:
            raise NotFoundError("key", key, keys, location=location)


def _check_rule(name: str, rule: Any, place: str) -> None:
    location = f"rule {name!r} of {place}"
    if not isinstance(rule, dict):
        raise ArgumentError(
            f'A rule must be a table, [rules."{name}"] with a line condition = "…"; got {rule!r} '
            f"for {location}."
        )
    if not name.strip():
        raise ArgumentError(f"A rule of {place} has an empty name.")
    if "cost_per_alert" in rule:
        raise ArgumentError(
            f"cost_per_alert must be at the top of {place}, for all rules: an alert is reviewed "
            f"once, however many rules fire; {name!r} has its own."
        )
    _check_keys(rule, _RULE_KEYS, location)
    if "condition" not in rule:
        raise ArgumentError(f'There is no condition in {location}: add condition = "…".')
    for key, value in rule.items():
        if not isinstance(value, str) or not value.strip():
            raise ArgumentError(f"The {key} of {location} must be a text; got {value!r}.")
