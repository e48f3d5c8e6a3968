"""Pages that reports write, read again: their tables, texts, pictures and addresses."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "br", "img"}


class Page(HTMLParser):
    """What stands on a page; refuses one whose tags do not match."""

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
        #: Text by section, and of the blocks of code.
        self.sections: dict[str, str] = {}
        self.code: list[str] = []
        #: Attributes and text of scripts: data, and the one that runs.
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
        given = {name: value or "" for name, value in attributes}
        self.tags.add(tag)
        self.addresses += [given[one] for one in ("src", "href", "srcset") if one in given]
        self.addresses += [given["xlink:href"]] if "xlink:href" in given else []
        self.ids += [given["id"]] if "id" in given else []
        self._note_script(tag, given)
        if tag == "svg":
            self.alts.append(given["aria-label"])
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
            self.open.append((tag, given))

    def _note_script(self, tag, given):
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        if tag == "script":
            self.scripts.append((given, ""))

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
        within = [tag for tag, _ in self.open]
        if "style" in within:
            return
        if "script" in within:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)
            return
        if "text" in within:
            self.picture_texts[-1] += data
        elif "caption" in within:
            self._caption += data
        elif "small" in within:
            self.notes.append(data)
        elif "th" in within or "td" in within:
            self._rows[-1][-1] += data
        elif "pre" in within:
            self.code[-1] += data
        self._say(data)

    def _say(self, data):
        name = next(
            (given.get("aria-labelledby", "") for tag, given in self.open if tag == "section"), ""
        )
        self.sections[name] = self.sections.get(name, "") + data

    def rows(self, caption: str) -> dict[str, dict[str, str]]:
        """Rows of a table by their first cell, and each by its head."""
        head, *rows = self.tables[caption]
        return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}

    @property
    def program(self) -> str:
        """The script that runs; there is one."""
        (program,) = [text for given, text in self.scripts if "type" not in given]
        return program

    @property
    def data(self) -> dict[str, Any]:
        """The data of scripts, by their ids; of pictures by their position."""
        return {
            given.get("id", str(place)): json.loads(text, parse_constant=_refuse)
            for place, (given, text) in enumerate(self.scripts)
            if given.get("type") == "application/json"
        }

    def says(self, section: str = "") -> str:
        """Text of a section (of the whole page), with single spaces."""
        text = self.sections[section] if section else self.text
        return " ".join(text.replace("\u00a0", " ").split())


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON: a browser reads nothing after it")
