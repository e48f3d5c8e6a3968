"""What all reports share: an object with its numbers, and one self-contained HTML page."""

from __future__ import annotations

import functools
import hashlib
import os
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from synfin_analytics._core import formatting
from synfin_analytics._core.html import NO_FORMULAS, Table, environment
from synfin_analytics._core.results import Result
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.reports._assets import page_assets

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping

    from synfin_analytics.reports.provenance import Provenance


@dataclass(frozen=True)
class Finding:
    """A sentence of a summary, and the number that supports it.

    Attributes
    ----------
    name
        Name of the number.
    value
        The number.
    text
        The number as it is shown.
    sentence
        The finding. Each number in it is also shown in the section.
    section
        Section of the page that it summarizes.
    """

    name: str
    value: float
    text: str
    sentence: str
    section: str


def iterate_rows(frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a frame, each with its cells as attributes."""
    yield from frame.itertuples(index=False)


class Report(Result, ABC):
    """A report: it displays itself in a notebook, and saves itself as one file.

    Its frame has the findings: ``section``, ``name``, ``value``, ``text`` (the value as it is
    shown) and ``sentence``. Its dictionary has the title, findings, caveats, notes, provenance and
    time of creation.
    """

    _template: ClassVar[str]
    notes: tuple[str, ...]
    provenance: Provenance
    created_at: dt.datetime

    @property
    @abstractmethod
    def title(self) -> str:
        """Title of the report."""

    @property
    @abstractmethod
    def findings(self) -> list[Finding]:
        """Sentences of the summary, each with the number that supports it."""

    @property
    @abstractmethod
    def caveats(self) -> list[str]:
        """What the numbers cannot show."""

    @abstractmethod
    def _context(self) -> Mapping[str, object]:
        """Return what the template of the page needs besides the report."""

    def summary_text(self) -> list[str]:
        """Return the sentences of the summary.

        Examples
        --------
        >>> import pandas as pd
        >>> from synfin_analytics import fraud_report
        >>> df = pd.DataFrame({"is_fraud": [True, False, False, False]})
        >>> report = fraud_report(df, label="is_fraud")
        >>> report.summary_text()[0]
        '4 transactions.'
        """
        return [finding.sentence for finding in self.findings]

    def _table(self) -> pd.DataFrame:
        names = ["section", "name", "value", "text", "sentence"]
        frame = pd.DataFrame([asdict(finding) for finding in self.findings], columns=names)
        return frame.astype({"value": "float64"})

    def _record(self) -> Mapping[str, object]:
        return {
            "title": self.title,
            "findings": [asdict(finding) for finding in self.findings],
            "caveats": self.caveats,
            "notes": self.notes,
            "provenance": asdict(self.provenance),
            "created_at": self.created_at,
        }

    def html(self) -> str:
        """Return the page as HTML, with its figures; it needs no network.

        Examples
        --------
        >>> import pandas as pd
        >>> from synfin_analytics import fraud_report
        >>> df = pd.DataFrame({"is_fraud": [True, False, False, False]})
        >>> report = fraud_report(df, label="is_fraud")
        >>> report.html().startswith("<!doctype html>")
        True
        """
        return self._page

    @functools.cached_property
    def _page(self) -> str:
        template = environment("synfin_analytics.reports").get_template(self._template)
        return template.render(
            report=self, text=formatting, assets=page_assets(), **self._context()
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, and return its path.

        Parameters
        ----------
        path
            Name of the file, which ends in ``.html`` or ``.htm``.

        Raises
        ------
        ArgumentError
            The name has another extension, its folder does not exist, or the file cannot be
            written.

        Examples
        --------
        >>> import tempfile
        >>> import pandas as pd
        >>> from synfin_analytics import fraud_report
        >>> df = pd.DataFrame({"is_fraud": [True, False, False, False]})
        >>> report = fraud_report(df, label="is_fraud")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report.save(f"{folder}/overview.html").name
        'overview.html'
        """
        file = check_page_path(path)
        page = self.html()
        try:
            file.write_text(page, encoding="utf-8")
        except OSError as error:
            raise ArgumentError(
                f"Cannot write the report to {str(file)!r}: {error.strerror}."
            ) from error
        return file

    def __repr__(self) -> str:
        sentences = "\n".join(f"- {sentence}" for sentence in self.summary_text())
        return f"{self.title}\n{sentences.replace(chr(160), ' ')}"

    def _repr_html_(self) -> str:
        # In a frame of its own, the styles of notebook and page do not interfere, and the script of
        # the page cannot reach the notebook. Within it, a link to a section must not be resolved
        # against the address of the notebook.
        page = self.html().replace("<head>", '<head><base href="about:srcdoc">', 1)
        frame = (
            f'<iframe srcdoc="{escape(page)}" title="{escape(self.title)}" '
            'sandbox="allow-popups allow-scripts" '
            'style="width:100%;height:min(80vh,60rem);border:0"></iframe>'
        )
        # An untrusted notebook removes frames, and with them the style that hides the summary.
        name = f"synfin-{hashlib.sha256(page.encode()).hexdigest()[:12]}"
        sentences = "".join(f"<li>{escape(sentence)}</li>" for sentence in self.summary_text())
        summary = (
            f'<div class="{name}"><div {NO_FORMULAS}><p><b>{escape(self.title)}</b></p>'
            f"<ul>{sentences}</ul><p>To see the whole report, trust this notebook, or save the "
            "report to a file with <code>.save(&quot;report.html&quot;)</code>.</p></div></div>"
        )
        return f"{frame}<style>.{name} {{ display: none }}</style>{summary}"


def versions_table(provenance: Provenance) -> Table:
    """Return the table of the versions that a report was computed with."""
    return Table("Versions", ("component", "version"), list(provenance.versions.items()))


def check_page_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a page, checked.

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
            f"`path` must end in .html; got {str(file)!r}."
            + (pdf if file.suffix.lower() == ".pdf" else "")
        )
    if not file.parent.is_dir():
        raise ArgumentError(
            f"Cannot write the report to {str(file)!r}: the folder {str(file.parent)!r} does not "
            "exist. Create it first."
        )
    return file
