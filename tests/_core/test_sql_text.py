"""SQL in tokens: what is a literal, wherever quotes and comments are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synfin_analytics._core.sql import tokens, without_values

EMAIL = "ana@example.org"


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (f"SELECT '{EMAIL}'", "SELECT '…'"),
        (f"SELECT 'it''s {EMAIL}', 1", "SELECT '…', …"),
        (f"SELECT E'it\\'s {EMAIL}', a", "SELECT '…', a"),
        (f"SELECT e'\\\\', '{EMAIL}'", "SELECT '…', '…'"),
        (f"SELECT name'it\\', '{EMAIL}'", "SELECT name'…', '…'"),  # no backslash escapes here
        (f"SELECT E'a'\n  'it\\'s {EMAIL}', b", "SELECT '…', b"),
        (f"SELECT E'a' -- it's\n  'it\\'s {EMAIL}', b", "SELECT '…', b"),
        (f"SELECT U&'{EMAIL}' UESCAPE '!'", "SELECT '…' UESCAPE '…'"),
        (f"SELECT N'{EMAIL}', B'01', x'FF'", "SELECT '…', '…', '…'"),
        (f"SELECT $${EMAIL}'$$, a", "SELECT '…', a"),
        (f"SELECT $q$ $$ {EMAIL} $$ ' $q$, a", "SELECT '…', a"),
        (f"SELECT a$q$, '{EMAIL}'", "SELECT a$q$, '…'"),
        (f"SELECT 1 -- it's {EMAIL}\nFROM a WHERE b = '{EMAIL}'", "SELECT … FROM a WHERE b = '…'"),
        (f"SELECT a/* don't /* {EMAIL} */ ' */b, '{EMAIL}'", "SELECT a b, '…'"),
        (f"SELECT \"o'x\", '{EMAIL}'", "SELECT \"o'x\", '…'"),
        (f'SELECT "o""\'x", \'{EMAIL}\'', 'SELECT "o""\'x", \'…\''),
        (f"SELECT U&\"o'x\", '{EMAIL}'", "SELECT U&\"o'x\", '…'"),
        ("SELECT 4111111111111111, .5, 1e9, 0xFF, -1_000", "SELECT …, …, …, …, -…"),
        ("SELECT t1.c2, $1, %(amount_1)s, :n2", "SELECT t1.c2, $1, %(amount_1)s, :n2"),
        (f"SELECT '{EMAIL}", "SELECT '…'"),
        (f"SELECT E'{EMAIL}\\", "SELECT '…'"),
        (f"SELECT $q${EMAIL}$$", "SELECT '…'"),
        (f"SELECT a /* {EMAIL}", "SELECT a"),
    ],
)
def test_literals_and_comments_are_not_shown(statement, expected):
    assert without_values(statement) == expected


@given(st.text("ab1'\"$-/*\\\n eEuU&:.%()@", max_size=60))
def test_tokens_together_are_the_text(text):
    assert "".join(text[token.start : token.stop] for token in tokens(text)) == text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40))
def test_a_quoted_value_is_hidden_whatever_is_in_it(value):
    quoted = value.replace("'", "''")
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")

    assert without_values(f"SELECT '{quoted}', E'{escaped}', a") == "SELECT '…', '…', a"


def test_a_long_statement_is_cut():
    assert without_values("SELECT a, b", max_length=8) == "SELECT …"
