"""Parser of report pages: their tables, texts, pictures and addresses."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """Contents of a page; raises an error if tags do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict[str, str]]] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.alts: list[str] = []
        self.picture_texts: list[str] = []
        self.headings: list[int] = []
        #: Rows of texts, by caption.
        self.tables: dict[str, list[list[str]]] = {}
        #: Text by section, and blocks of code.
        self.sections: dict[str, str] = {}
        self.code: list[str] = []
        #: Attributes and text of scripts: data, and the script that runs.
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.policy = ""
        self.notes: list[str] = []
        self._rows: list[list[str]] = []
        self._caption = ""
        self.feed(page)
        self.close()
        assert self.open == []
        self.text = " ".join(self.sections.values())

    def handle_starttag(self, tag, attributes):
        values = {name: value or "" for name, value in attributes}
        self.tags.add(tag)
        self.addresses += [
            values[attribute] for attribute in ("src", "href", "srcset") if attribute in values
        ]
        self.addresses += [values["xlink:href"]] if "xlink:href" in values else []
        self.ids += [values["id"]] if "id" in values else []
        self._note_script(tag, values)
        if tag == "svg":
            self.alts.append(values["aria-label"])
        if tag in {"h1", "h2", "h3"}:
            self.headings.append(int(tag[1]))
        if tag == "table":
            self._rows, self._caption = [], ""
        if tag == "tr":
            self._rows.append([])
        if tag in {"th", "td"}:
            self._rows[-1].append("")
        if tag == "pre":
            self.code.append("")
        if tag == "text":
            self.picture_texts.append("")
        if tag not in VOID:
            self.open.append((tag, values))

    def _note_script(self, tag, values):
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]
        if tag == "script":
            self.scripts.append((values, ""))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        if tag == "table":
            self.tables[self._caption] = self._rows
        if tag != "span":
            self._say(" ")

    def handle_data(self, data):
        tags = [tag for tag, _ in self.open]
        if "style" in tags:
            return
        if "script" in tags:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
            return
        if "text" in tags:
            self.picture_texts[-1] += data
        elif "caption" in tags:
            self._caption += data
        elif "small" in tags:
            self.notes.append(data)
        elif "th" in tags or "td" in tags:
            self._rows[-1][-1] += data
        elif "pre" in tags:
            self.code[-1] += data
        self._say(data)

    def _say(self, data):
        name = next(
            (values.get("aria-labelledby", "") for tag, values in self.open if tag == "section"), ""
        )
        self.sections[name] = self.sections.get(name, "") + data

    def rows(self, caption: str) -> dict[str, dict[str, str]]:
        """Rows of a table by their first cell; each maps a column's head to a cell."""
        head, *rows = self.tables[caption]
        return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}

    @property
    def program(self) -> str:
        """The script that runs; there is one."""
        (program,) = [text for attributes, text in self.scripts if "type" not in attributes]
        return program

    @property
    def data(self) -> dict[str, Any]:
        """The data of scripts, by their ids; of pictures by their position."""
        return {
            attributes.get("id", str(place)): json.loads(text, parse_constant=_refuse)
            for place, (attributes, text) in enumerate(self.scripts)
            if attributes.get("type") == "application/json"
        }

    def says(self, section: str = "") -> str:
        """Text of a section, or of the whole page, with single spaces."""
        text = self.sections[section] if section else self.text
        return " ".join(text.replace("\u00a0", " ").split())


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON: a browser reads nothing after it")
