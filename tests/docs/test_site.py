"""The built site in a browser: links, search, access, and no request to anywhere else.

`make docs` builds it. Tests of a site that is missing, or of other sources, are skipped; `.ci/run`
sets SYNFIN_REQUIRE_SITE=1, which makes that a failure.
"""

from __future__ import annotations

import os
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import OUT, chromium, files_served
from documentation import DOCS

sys.path.insert(0, str(DOCS / "_extensions"))
from digests import SOURCES, digest_of

HTML = DOCS.parent / "out" / "docs" / "html"
LANDING, GUIDE = "index.html", "guide/fraud_rates.html"
API, LESSON = "reference/api/synfin_analytics.fraud_rate.html", "lessons/01_first_steps.html"
KINDS = [LANDING, GUIDE, API, LESSON]
#: One of each kind, and those with the widest tables, code and formulas.
WIDE = [*KINDS, "getting_started.html", "explanation/intervals.html", "explanation/speed.html",
        "guide/database.html", "guide/evaluate.html", "guide/features.html", "guide/teaching.html",
        "lessons/07_model_report.html", "reference/cli.html", "reference/tables.html",
        "reference/api/synfin_analytics.Evaluation.html", "changelog.html"]  # fmt: skip


@pytest.fixture(scope="module")
def site() -> Path:
    stamp = HTML / ".sources"
    problem = ""
    if not stamp.is_file():
        problem = "The site is not built."
    elif stamp.read_text(encoding="utf-8") != digest_of(*SOURCES):
        problem = "The site was built from other sources."
    if problem and os.environ.get("SYNFIN_REQUIRE_SITE"):
        pytest.fail(f"{problem} Run: make docs")
    if problem:
        pytest.skip(f"{problem} Run: make docs")
    return HTML


class Links(HTMLParser):
    """The ids of a page, its links, and the addresses that it loads by itself."""

    LOADED = ("script", "img", "iframe", "source", "video", "audio", "embed", "link")

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.ids.update(attributes[name] or "" for name in ("id", "name") if name in attributes)
        address = attributes.get("href") or attributes.get("src")
        if address is None or address.startswith("data:"):
            return
        (self.loaded if tag in self.LOADED else self.links).append(address)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    paths = [path for path in site.rglob("*.html") if "_static" not in path.parts]
    return {path: Links(path) for path in paths}


def test_every_page_of_the_sources_is_built(site):
    for path in DOCS.rglob("*.md"):
        assert (site / path.relative_to(DOCS).with_suffix(".html")).is_file(), path


def test_every_internal_link_leads_to_a_page_and_a_place_on_it(pages):
    dead = []
    for path, page in pages.items():
        for address in page.links:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.is_file() or (
                anchor and target in pages and anchor not in pages[target].ids
            ):
                dead.append(f"{path.relative_to(HTML)}: {address}")
    assert dead == []


def test_what_a_page_loads_is_in_the_site(pages):
    for path, page in pages.items():
        for address in page.loaded:
            parts = urlsplit(address)
            assert not parts.netloc, f"{path}: {address}"
            assert (path.parent / unquote(parts.path)).exists(), f"{path}: {address}"


# -- In a browser ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(site):
    with files_served(site) as address:
        yield address


@pytest.fixture
def show(browser, address):
    """Open a page; ``page.elsewhere`` and ``page.errors`` are what it should not have."""
    contexts = []

    def show(name: str, width: int = 1200, scheme: str = "light"):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.elsewhere, page.errors = [], []
        page.on(
            "request",
            lambda request: (
                request.url.startswith((address, "data:", "blob:"))
                or page.elsewhere.append(request.url)
            ),
        )
        page.on("console", lambda text: text.type == "error" and page.errors.append(text.text))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(f"{address}/{name}", wait_until="networkidle")
        return page

    yield show
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", KINDS)
def test_a_page_sends_no_request_and_reports_no_error(show, name):
    page = show(name)
    page.screenshot(path=OUT / f"site_{Path(name).stem}.png", full_page=True)
    assert page.elsewhere == []
    assert page.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", KINDS)
def test_axe_finds_nothing_serious(show, name, scheme):
    from axe_playwright_python.sync_playwright import Axe

    violations = Axe().run(show(name, scheme=scheme)).response["violations"]
    serious = [
        (rule["id"], rule["impact"], rule["nodes"][0]["html"][:200], len(rule["nodes"]))
        for rule in violations
        if rule["impact"] in {"serious", "critical"}
    ]
    assert serious == []


@pytest.mark.parametrize("name", WIDE)
def test_a_page_does_not_scroll_sideways_on_a_phone(show, name):
    page = show(name, width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("fraud_rate", "reference/api/synfin_analytics.fraud_rate.html"),
        ("label delay", "explanation/label_delay.html"),
        ("load a CSV file", "guide/load.html"),
        ("threshold cost", "guide/evaluate.html"),
    ],
)
def test_the_search_finds_a_page(show, words, expected):
    page = show(f"search.html?q={words.replace(' ', '+')}")
    page.wait_for_selector("#search-results ul.search li a")
    page.wait_for_function("document.querySelector('.search-summary')?.innerText.includes('found')")
    links = page.eval_on_selector_all(
        "#search-results ul.search li a", "links => links.map(link => link.getAttribute('href'))"
    )
    assert any(link.split("?")[0].split("#")[0] == expected for link in links[:8]), links[:8]
    assert page.elsewhere == []


def test_the_landing_page_has_a_door_for_each_kind_of_reader(show):
    page = show(LANDING)
    for door, target in [
        ("Analyst", "getting_started"),
        ("Model validator", "guide/evaluate"),
        ("Teacher", "guide/teaching"),
    ]:
        card = page.locator(".sd-card", has_text=door).first
        assert target in (card.locator("a").first.get_attribute("href") or "")
