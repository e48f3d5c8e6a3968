"""The results of ``check`` and ``hint``, as text and as HTML."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass
from typing import Any

#: Stripe at the left edge, readable in light and dark themes; the text says the same.
_PASSED_COLOUR, _FAILED_COLOUR, _HINT_COLOUR = "#2e8b57", "#c77700", "#4a7ab5"


@dataclass(frozen=True, repr=False)
class CheckResult:
    """Whether an answer is correct, and what is wrong with it; true if it is correct.

    Attributes
    ----------
    exercise
        Number of the exercise, such as "05.2".
    passed
        Whether the answer is correct.
    feedback
        What is wrong with the answer; never the correct one.
    progress
        Number of exercises of the lesson that have passed, as a sentence.

    Examples
    --------
    >>> CheckResult("05.2", True, "Correct.", "Lesson 05: 2 of 5 exercises passed.")
    05.2 passed: Correct.
    Lesson 05: 2 of 5 exercises passed.
    """

    exercise: str
    passed: bool
    feedback: str
    progress: str = ""

    def __bool__(self) -> bool:
        return self.passed

    @property
    def _status(self) -> str:
        return "passed" if self.passed else "not passed yet"

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dict."""
        return asdict(self)

    def __repr__(self) -> str:
        result = f"{self.exercise} {self._status}: {self.feedback}"
        return f"{result}\n{self.progress}" if self.progress else result

    def _repr_html_(self) -> str:
        symbol = "\N{CHECK MARK}" if self.passed else "\N{BULLET}"
        colour = _PASSED_COLOUR if self.passed else _FAILED_COLOUR
        title = f"{symbol} {self.exercise} {self._status}"
        return _box_html(title, [self.feedback], self.progress, colour)


@dataclass(frozen=True, repr=False)
class Hint:
    """The hints for an exercise that have been requested so far.

    Attributes
    ----------
    exercise
        Number of the exercise.
    shown
        The hints, the newest last.
    total
        Number of hints that the exercise has.

    Examples
    --------
    >>> Hint("05.1", ("Count the days.",), 3)
    Hint 1 of 3 for 05.1: Count the days.
    2 more hints: run hint("05.1") again.
    """

    exercise: str
    shown: tuple[str, ...]
    total: int

    @property
    def _remaining(self) -> str:
        remaining = self.total - len(self.shown)
        if not remaining:
            return "This was the last hint."
        noun = "hint" if remaining == 1 else "hints"
        return f'{remaining} more {noun}: run hint("{self.exercise}") again.'

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as a dict."""
        return asdict(self)

    def __repr__(self) -> str:
        lines = [
            f"Hint {number} of {self.total} for {self.exercise}: {text}"
            for number, text in enumerate(self.shown, 1)
        ]
        return "\n".join([*lines, self._remaining])

    def _repr_html_(self) -> str:
        lines = [f"{number} of {self.total}: {text}" for number, text in enumerate(self.shown, 1)]
        return _box_html(f"Hint for {self.exercise}", lines, self._remaining, _HINT_COLOUR)


def _box_html(title: str, lines: list[str], footer: str, colour: str) -> str:
    """Return a box as HTML; its text has the colour of the page."""
    paragraphs = "".join(
        f'<p style="margin:0.3em 0 0">{html.escape(line)}</p>' for line in lines if line
    )
    if footer:
        footer = f'<p style="margin:0.5em 0 0;font-size:90%">{html.escape(footer)}</p>'
    return (
        f'<div role="status" style="border-left:6px solid {colour};padding:0.5em 1em;'
        f'margin:0.3em 0;max-width:50em"><strong>{html.escape(title)}</strong>'
        f"{paragraphs}{footer}</div>"
    )
