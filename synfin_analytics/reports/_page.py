"""What all reports are: an object with its numbers, and one page that needs nothing else."""

from __future__ import annotations

import functools
import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from synfin_analytics._core import formatting as wording
from synfin_analytics._core.html import NO_FORMULAS, environment
from synfin_analytics.exceptions import ArgumentError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    import pandas as pd

    from synfin_analytics.reports.provenance import Provenance


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


def lines(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a frame, each with its cells as attributes."""
    yield from frame.itertuples(index=False)


class Page(ABC):
    """A report: it shows itself in a notebook, and saves itself as one file."""

    _template: ClassVar[str]
    created_at: dt.datetime
    provenance: Provenance

    @property
    @abstractmethod
    def title(self) -> str:
        """What the report is about."""

    @property
    @abstractmethod
    def findings(self) -> list[Finding]:
        """Say it in words, each sentence with the number that it follows from."""

    @abstractmethod
    def _sections(self) -> dict[str, Any]:
        """Give the template what it asks for."""

    def summary_text(self) -> list[str]:
        """Sentences of the summary."""
        return [finding.sentence for finding in self.findings]

    def html(self) -> str:
        """Return the page: one HTML text, with its pictures, that needs no network."""
        return self._page

    @functools.cached_property
    def _page(self) -> str:
        template = environment("synfin_analytics.reports").get_template(self._template)
        return template.render(report=self, text=wording, **self._sections())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, and return its path.

        Parameters
        ----------
        path
            Name of the file; it ends in ``.html`` or ``.htm``.

        Raises
        ------
        ArgumentError
            The name has another ending, its folder does not exist, or nothing can be written
            there.
        """
        file = page_file(path)
        page = self.html()
        try:
            file.write_text(page, encoding="utf-8")
        except OSError as error:
            raise ArgumentError(
                f"Cannot write the report to {str(file)!r}: {error.strerror}."
            ) from error
        return file

    def _repr_html_(self) -> str:
        # In a frame of its own, the styles of notebook and page do not touch each other. Within it,
        # a link to a section must not be resolved against the address of the notebook.
        page = self.html().replace("<head>", '<head><base href="about:srcdoc">', 1)
        frame = (
            f'<iframe srcdoc="{escape(page)}" title="{escape(self.title)}" '
            'sandbox="allow-popups" style="width:100%;height:min(80vh,60rem);border:0"></iframe>'
        )
        # An untrusted notebook removes frames, and with them the style that hides the summary.
        name = f"synfin-{hashlib.sha256(page.encode()).hexdigest()[:12]}"
        sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.summary_text())
        summary = (
            f'<div class="{name}"><div {NO_FORMULAS}><p><b>{escape(self.title)}</b></p>'
            f"<ul>{sentences}</ul><p>Trust this notebook to see the whole report, or save it as a "
            "file with <code>.save(&quot;report.html&quot;)</code>.</p></div></div>"
        )
        return f"{frame}<style>.{name} {{ display: none }}</style>{summary}"


def page_file(path: str | os.PathLike[str]) -> Path:
    """Check the name of a file that a report is to be written to.

    Raises
    ------
    ArgumentError
        The name does not end in ``.html`` or ``.htm``, or its folder does not exist.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(f"`path` must be the name of a file; got {type(path).__name__}.")
    file = Path(path)
    if file.suffix.lower() not in {".html", ".htm"}:
        pdf = " To get a PDF, open the HTML file in a browser and print it to a PDF file."
        raise ArgumentError(
            f"A report is an HTML page: its file must end in .html; got {str(file)!r}."
            + (pdf if file.suffix.lower() == ".pdf" else "")
        )
    if not file.parent.is_dir():
        raise ArgumentError(
            f"Cannot write the report to {str(file)!r}: the folder {str(file.parent)!r} does not "
            "exist. Create it first."
        )
    return file
