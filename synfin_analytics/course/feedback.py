"""What a check says, and what a hint shows: in a notebook and in plain text."""

from __future__ import annotations

import html
from dataclasses import dataclass

PASSED = "passed"
NOT_YET = "not yet"
#: Stripe at the left, on light and on dark paper; the words say the same.
_COLOURS = {True: "#2e8b57", False: "#c77700", None: "#4a7ab5"}


@dataclass(frozen=True, repr=False)
class CheckResult:
    """Whether an answer is right, and in words what is wrong with it.

    Attributes
    ----------
    exercise
        Its number, as "05.2".
    passed
        Whether the answer is right.
    words
        What is wrong with it, and never what would be right.
    progress
        How far the lesson is done, in words.
    """

    exercise: str
    passed: bool
    words: str
    progress: str = ""

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        state = PASSED if self.passed else NOT_YET
        return "\n".join(filter(None, [f"{self.exercise} {state}: {self.words}", self.progress]))

    def _repr_html_(self) -> str:
        mark = "\N{CHECK MARK}" if self.passed else "\N{BULLET}"
        head = f"{mark} {self.exercise} {PASSED if self.passed else NOT_YET}"
        return boxed(head, [self.words], self.progress, _COLOURS[self.passed])


@dataclass(frozen=True, repr=False)
class Hint:
    """The hints to an exercise that have been asked for so far.

    Attributes
    ----------
    exercise
        Its number.
    shown
        The hints, the newest last.
    total
        How many there are.
    """

    exercise: str
    shown: tuple[str, ...]
    total: int

    @property
    def _more(self) -> str:
        left = self.total - len(self.shown)
        return f'{left} more: hint("{self.exercise}") again.' if left else "That was the last hint."

    def __repr__(self) -> str:
        told = [
            f"Hint {step} of {self.total} to {self.exercise}: {text}"
            for step, text in enumerate(self.shown, 1)
        ]
        return "\n".join([*told, self._more])

    def _repr_html_(self) -> str:
        told = [f"{step} of {self.total}: {text}" for step, text in enumerate(self.shown, 1)]
        return boxed(f"Hint to {self.exercise}", told, self._more, _COLOURS[None])


def boxed(head: str, lines: list[str], foot: str, colour: str) -> str:
    """Put words into a box of HTML; colours of the text are those of the page."""
    paragraphs = "".join(
        f'<p style="margin:0.3em 0 0">{html.escape(line)}</p>' for line in lines if line
    )
    small = f'<p style="margin:0.5em 0 0;font-size:90%">{html.escape(foot)}</p>' if foot else ""
    return (
        f'<div role="status" style="border-left:6px solid {colour};padding:0.5em 1em;'
        f'margin:0.3em 0;max-width:50em"><strong>{html.escape(head)}</strong>'
        f"{paragraphs}{small}</div>"
    )
