r"""Patterns of LIKE: ``%`` is any text, ``_`` any character, and an escape takes them literally."""

from __future__ import annotations

import re
from dataclasses import dataclass

import narwhals as nw

_ANY, _ONE = "%", "_"


@dataclass(frozen=True, slots=True)
class LikePattern:
    """A pattern as literal texts, which lie between the wildcards.

    Attributes
    ----------
    parts
        Literal texts, and the wildcards as ``None`` for ``%`` and ``...`` for ``_``.
    """

    parts: tuple[str | ellipsis | None, ...]  # noqa: F821

    @classmethod
    def parse(cls, pattern: str, escape: str = "\\") -> LikePattern:
        """Parse a pattern.

        Raises
        ------
        ValueError
            The pattern ends with the escape.
        """
        parts: list[object] = []
        characters = iter(pattern)
        for character in characters:
            if character == escape:
                character = next(characters, "")
                if not character:
                    raise ValueError("the pattern ends with its escape")
            elif character in {_ANY, _ONE}:
                parts.append(None if character == _ANY else ...)
                continue
            if parts and isinstance(parts[-1], str):
                parts[-1] += character
            else:
                parts.append(character)
        return cls(tuple(parts))  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        r"""The pattern with the escape ``\``.

        Examples
        --------
        >>> LikePattern.parse("50!%%", "!").text
        '50\\%%'
        """
        return "".join(
            _ANY if part is None else _ONE if part is ... else re.sub(r"([\\%_])", r"\\\1", part)
            for part in self.parts
        )

    def matches(self, text: nw.Expr) -> nw.Expr:
        """Return an expression for the texts that match."""
        match self.parts:
            case ():
                return text == ""
            case (str(whole),):
                return text == whole
            case (str(start), None):
                return text.str.starts_with(start)
            case (None, str(end)):
                return text.str.ends_with(end)
            case (None, str(inner), None):
                return text.str.contains(inner, literal=True)
        # A last character of our own, because `$` also matches before a line break in Python.
        regex = "".join(
            ".*" if part is None else "." if part is ... else _escape(part) for part in self.parts
        )
        marked = nw.concat_str(text, nw.lit(_END))
        return marked.str.contains(f"(?s)^{regex}{_END}$")


_END = "\x01"


def _escape(text: str) -> str:
    """Escape a text for the regular expressions of every engine."""
    return "".join(
        character if character.isalnum() or not character.isascii() else _in_class(character)
        for character in text
    )


def _in_class(character: str) -> str:
    return f"\\{character}" if character in r"^]\[-&~" else f"[{character}]"
