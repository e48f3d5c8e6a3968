"""JSON of patterns as Python objects and back, with all digits of its numbers."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

#: Before a number with a fraction, which is a text in between, since a float may lose digits.
_NUMBER = f"{uuid.uuid4().hex}:"


def parse_json(text: str) -> Any:
    """Parse JSON for :func:`format_json`.

    Examples
    --------
    >>> format_json(parse_json('{"share": 0.12345678901234567890}'))
    '{"share": 0.12345678901234567890}'
    """
    return json.loads(text, parse_float=_NUMBER.__add__)


def format_json(value: Any) -> str:
    """Format what :func:`parse_json` returned."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(rf'"{_NUMBER}([^"]*)"', r"\1", text)
