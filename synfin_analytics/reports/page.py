"""What all reports are: an object with its numbers, and one page that needs nothing else."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from synfin_analytics import wording
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    import datetime as dt
    import os
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from jinja2 import Environment

    from synfin_analytics.reports.origin import Origin


@dataclass(frozen=True)
class Finding:
    """One sentence of a summary, and the number that it follows from.

    Attributes
    ----------
    name
        What the number is.
    value
        The number itself.
    shown
        The number as it is read.
    sentence
        What it means. Every number in it stands in the section, too.
    section
        Where on the page it comes from.
    """

    name: str
    value: float
    shown: str
    sentence: str
    section: str


@dataclass(frozen=True)
class Table:
    """A table as it is read: the first cell of a row names it.

    Attributes
    ----------
    caption
        What it holds; it names the table for a screen reader, too.
    head
        Of each column.
    rows
        Texts, as many as there are columns.
    notes
        Beneath the name of each row, in small.
    texts
        Columns (from 0) that hold words, and not numbers.
    marked
        Rows (from 0) that stand out.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    texts: frozenset[int] = frozenset()
    marked: frozenset[int] = frozenset()


def lines(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a frame, each with its cells as attributes."""
    yield from frame.itertuples(index=False)


class Page(ABC):
    """A report: it shows itself in a notebook, and saves itself as one file."""

    _template: ClassVar[str]
    made: dt.datetime
    origin: Origin

    @property
    @abstractmethod
    def title(self) -> str:
        """What the report is about."""

    @abstractmethod
    def findings(self) -> list[Finding]:
        """Say it in words, each sentence with the number that it follows from."""

    @abstractmethod
    def _sections(self) -> dict[str, Any]:
        """Give the template what it asks for."""

    def in_words(self) -> list[str]:
        """Sentences of the summary."""
        return [finding.sentence for finding in self.findings()]

    def html(self) -> str:
        """Return the page: one HTML text, with its pictures, that needs no network."""
        return self._page

    @functools.cached_property
    def _page(self) -> str:
        template = _environment().get_template(self._template)
        return template.render(report=self, words=wording, **self._sections())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, and return its path.

        Raises
        ------
        ArgumentError
            Nothing can be written there.
        """
        file = Path(path)
        page = self.html()
        try:
            file.write_text(page, encoding="utf-8")
        except OSError as error:
            raise ArgumentError(
                f"Nothing can be written to {str(file)!r}: {error.strerror}."
            ) from error
        return file

    def _repr_html_(self) -> str:
        # A frame of its own: the notebook's style does not touch the page, nor the page's it.
        return (
            f'<iframe srcdoc="{escape(self.html())}" title="{escape(self.title)}" '
            'sandbox="allow-popups" style="width:100%;height:min(80vh,60rem);border:0"></iframe>'
        )


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("synfin_analytics.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
