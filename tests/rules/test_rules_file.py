"""Rules in a TOML file: what is read, and one sentence for each mistake."""

from __future__ import annotations

import pytest

from synfin_analytics.exceptions import ArgumentError, NotFoundError
from synfin_analytics.rules import read_rules

RULES = """
cost_per_alert = 4

[rules."night spree"]
condition = "amount > 50"
description = "Payments at night"
owner = "desk 2"

[rules.high]
condition = "amount > 500"
"""


@pytest.fixture
def read(tmp_path):
    def read(text: str):
        path = tmp_path / "rules.toml"
        path.write_text(text, encoding="utf-8")
        return read_rules(path)

    return read


def test_a_file_is_a_mapping_of_names_to_conditions(read):
    rules = read(RULES)
    assert dict(rules) == {"night spree": "amount > 50", "high": "amount > 500"}
    assert rules.descriptions == {"night spree": "Payments at night"}
    assert rules.owners == {"night spree": "desk 2"}
    assert rules.cost_per_alert == 4
    assert repr(rules).endswith("rules.toml', 2 rules)")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('[rules.a]\ncondition = "x"\n[rules.a]\ncondition = "y"', ArgumentError,
         "has two rules of the name 'a': rename one of them"),
        ('[rules."a b"]\ncondition = "x"\n[rules."a b"]\ncondition = "y"', ArgumentError,
         "has two rules of the name 'a b'"),
        ('[rules.a]\nconditon = "x"', NotFoundError,
         r"no key 'conditon' in rule 'a' of .* Did you mean 'condition'\?"),
        ('[rule.a]\ncondition = "x"', NotFoundError, r"no key 'rule' .* Did you mean 'rules'\?"),
        ('[rules.a]\ndescription = "x"', ArgumentError, "no condition in rule 'a'"),
        ("[rules.a]\ncondition = 3", ArgumentError, "of rule 'a' .* must be a text; got 3"),
        ('[rules.a]\ncondition = " "', ArgumentError, "must be a text; got ' '"),
        ('[rules]\na = "x > 1"', ArgumentError, "A rule must be a table"),
        ('[rules.a]\ncondition = "x"\ncost_per_alert = 3', ArgumentError,
         "cost_per_alert must be at the top"),
        ('cost_per_alert = "x"\n[rules.a]\ncondition = "x"', ArgumentError, "must be a number"),
        ('cost_per_alert = -1\n[rules.a]\ncondition = "x"', ArgumentError, "at least 0"),
        ("x = ", ArgumentError, "is not valid TOML: Invalid value"),
        ("", ArgumentError, "must contain at least one rule"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(read, text, error, message):
    with pytest.raises(error, match=message):
        read(text)


def test_a_path_that_is_no_file_is_named(tmp_path):
    with pytest.raises(ArgumentError, match=r"There is no file '.*absent\.toml'"):
        read_rules(tmp_path / "absent.toml")
    with pytest.raises(ArgumentError, match=r"Cannot read "):
        read_rules(tmp_path)
    with pytest.raises(ArgumentError, match="must be the name of a file; got int"):
        read_rules(3)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArgumentError, match="must be a text file in UTF-8"):
        read_rules(tmp_path / "binary.toml")
