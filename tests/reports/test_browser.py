"""Reports in a real browser: alone, on a phone, in the dark, on paper, and read aloud."""

from __future__ import annotations

import functools
import re
from dataclasses import replace

import pytest
from browser import OUT, chromium, files_served

from synfin_analytics.reports import fraud_report, model_report, rules_report

A4 = {"width": 595, "height": 842}  # points
RULES = {
    "large": "amount > 100",
    "online <b>and</b> large": "channel = 'online' AND amount > 60",
    "ratio": "amount / (amount - amount) > 1",
    "never": "amount < 0",
    "wrong": "amuont > 3",
}


@pytest.fixture(scope="module")
def reports(world):
    """All reports; the one of a period has a table of many rows."""
    with world.get_session() as session:
        model = model_report(
            "forest", "1.0", compare_with=("logit", "1.0"), session=session, n_resamples=50
        )
        return {
            "model": model,
            "fraud": replace(fraud_report(session=session, every="12h"), model=model),
            "rules": rules_report(rules=RULES, model="large", as_of="2026-04-01", session=session),
        }


@pytest.fixture(scope="module")
def pages(reports, tmp_path_factory):
    """Files of all reports."""
    folder = tmp_path_factory.mktemp("reports")
    return {name: report.save(folder / f"{name}.html").as_uri() for name, report in reports.items()}


@pytest.fixture(scope="module")
def outputs(reports):
    """Notebook outputs of all reports."""
    return {name: report._repr_html_() for name, report in reports.items()}


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(params=["model", "fraud", "rules"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def opened(browser, pages):
    """Each report, once for each width and scheme."""

    @functools.cache
    def opened(name, width, scheme):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(pages[name])
        page.evaluate(
            "document.querySelectorAll('details:not(.toc)').forEach(one => { one.open = true; })"
        )
        return page

    return opened


@pytest.fixture
def folded(browser, pages, name):
    """Each report as it opens."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.goto(pages[name])
    yield page
    page.close()


@pytest.fixture
def notebook(browser, outputs, tmp_path, name):
    """A page of a server, as JupyterLab's, with the output of a report in it."""
    (tmp_path / "notebook.html").write_text(f"<!doctype html><h1>notebook</h1>{outputs[name]}")
    with files_served(tmp_path) as address:
        page = browser.new_page()
        page.goto(f"{address}/notebook.html")
        yield page
        page.close()


@pytest.fixture
def show(opened, name):
    """Open a report; what it asked for and complained about is in ``page.asked``, ``.said``."""
    return lambda width=1100, scheme="light": opened(name, width, scheme)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_no_request_leaves_the_machine_and_nothing_is_complained_of(
    show, pages, name, width, scheme
):
    page = show(width, scheme)
    assert page.asked == [pages[name]]
    assert page.said == []


def test_a_picture_fits_the_screen(show):
    width = 1100
    widths = show(width).evaluate(
        "[...document.querySelectorAll('.picture')].map(one => [one.scrollWidth, one.clientWidth])"
    )
    assert widths
    assert all(needed <= available <= width for needed, available in widths)


def test_on_a_phone_the_texts_of_pictures_are_large_enough_to_read(show):
    """They scroll in their boxes; the explorer draws its own as wide as the screen."""
    heights = show(360).evaluate(
        """[...document.querySelectorAll('figure svg text')]
        .filter(one => one.textContent.trim() && one.checkVisibility())
        .map(one => {
            const {c, d} = one.getScreenCTM();
            return parseFloat(getComputedStyle(one).fontSize) * Math.hypot(c, d);
        })"""
    )
    assert min(heights) > 7
    assert sum(height > 9 for height in heights) > 0.7 * len(heights)


def test_a_table_is_shown_whole_or_says_that_it_goes_on(show):
    boxes = show().evaluate(
        """[...document.querySelectorAll('.scroll')].filter(one => one.querySelector('tbody'))
        .map(box => ({
            rows: box.querySelectorAll('tbody tr').length,
            clipped: box.scrollHeight > box.clientHeight + 1,
            more: box.querySelector('.more')?.innerText ?? ""}))"""
    )
    assert len(boxes) > 5
    for box in boxes:
        assert box["more"] == (f"{box['rows']} rows: scroll to see all" if box["clipped"] else "")
    assert {box["clipped"] for box in boxes if box["rows"] > 60} <= {True}


@pytest.mark.parametrize("width", [320, 360, 1100])
def test_a_page_never_scrolls_sideways(show, name, width):
    page = show(width)
    page.screenshot(path=OUT / f"{name}_{width}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_is_wider_than_a_phone_scrolls_where_the_keyboard_reaches_it(show):
    page = show(360)
    wide = page.evaluate(
        """[...document.querySelectorAll('*')]
        .filter(one => !one.closest('svg, .said') && one.scrollWidth > one.clientWidth + 1
            && getComputedStyle(one).overflowX !== 'visible')
        .map(one => [one.tabIndex, one.getAttribute('aria-label') || ''])"""
    )
    assert wide
    assert all(tabindex == 0 and label for tabindex, label in wide)


def test_in_the_dark_the_page_and_its_pictures_are_dark(show, name):
    colours = """[getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector('.picture svg text')).fill]"""
    light, dark = show(), show(scheme="dark")
    dark.screenshot(path=OUT / f"{name}_dark.png", full_page=True)

    def brightness(colour):
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    paper, ink = map(brightness, light.evaluate(colours))
    assert paper > 240
    assert ink < 60
    paper, ink = map(brightness, dark.evaluate(colours))
    assert paper < 40
    assert ink > 200


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_axe_finds_no_fault(show, width, scheme):
    """All of axe-core's rules, those of minor impact too: contrast, landmarks, names, order."""
    assert axe_faults(show(width, scheme)) == []


@pytest.mark.parametrize("width", [360, 1100])
def test_axe_finds_no_fault_in_a_page_that_is_folded(folded, width):
    folded.set_viewport_size({"width": width, "height": 900})
    folded.screenshot(path=OUT / f"folded_{width}.png", full_page=True)
    assert folded.evaluate("document.documentElement.scrollWidth") <= width
    assert axe_faults(folded) == []


def axe_faults(page):
    from axe_playwright_python.sync_playwright import Axe

    return [
        (
            violation["id"],
            violation["impact"],
            violation["nodes"][0]["html"][:200],
            len(violation["nodes"]),
        )
        for violation in Axe().run(page).response["violations"]
    ]


def test_texts_of_pictures_have_enough_contrast(show):
    """axe leaves out what is drawn; WCAG asks for 4.5 there, too."""
    for scheme in ("light", "dark"):
        ratios = show(scheme=scheme).evaluate(
            """() => {
              const channel = c => c <= 10 ? c / 3294.6 : ((c / 255 + .055) / 1.055) ** 2.4;
              const light = colour => {
                const [r, g, b] = colour.match(/[\\d.]+/g).map(Number);
                return .2126 * channel(r) + .7152 * channel(g) + .0722 * channel(b);
              };
              const paper = light(getComputedStyle(document.body).backgroundColor);
              return [...document.querySelectorAll('svg text')].map(text => {
                const ink = light(getComputedStyle(text).fill);
                return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
              });
            }"""
        )
        assert len(ratios) > 50
        assert min(ratios) >= 4.5


def test_it_prints_on_a4(show, name):
    file = OUT / f"{name}.pdf"
    show().pdf(path=file, prefer_css_page_size=True)
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", file.read_bytes())
    assert len(sizes) >= 3
    for width, height in sizes:
        assert abs(float(width) - A4["width"]) <= 1
        assert abs(float(height) - A4["height"]) <= 1


def test_on_paper_nothing_is_cut_off(show, name):
    page = show(width=700)  # a little wider than what A4 leaves between its margins
    page.emulate_media(media="print")
    page.screenshot(path=OUT / f"{name}_print.png", full_page=True)
    cut = page.evaluate(
        """[...document.querySelectorAll('.scroll, pre')]
        .filter(one => one.scrollHeight > one.clientHeight + 1 || one.scrollWidth > 701)
        .map(one => one.getAttribute('aria-label'))"""
    )
    assert cut == []


def test_on_paper_a_table_stays_one_and_is_not_torn_from_its_head(show):
    page = show(width=700)
    page.emulate_media(media="print")
    displays, breaks = page.evaluate(
        """() => {
          const styles = where => [...document.querySelectorAll(where)]
            .filter(one => one.checkVisibility()).map(one => getComputedStyle(one));
          return [styles("th, td").map(one => one.display),
                  styles("caption, tbody tr:first-child, tbody tr:last-child, p:has(+ pre)")
                  .map(one => one.breakAfter + one.breakBefore)];
        }"""
    )
    assert set(displays) == {"table-cell"}
    assert all("avoid" in value for value in breaks)


@pytest.mark.parametrize("name", ["model"])
def test_a_link_within_a_report_in_a_notebook_stays_within_it(notebook):
    frame = notebook.frames[1]
    frame.get_by_role("link", name="Limitations").first.click()
    frame.wait_for_url("about:srcdoc#limitations")
    assert frame.locator("h1").inner_text() == "forest 1.0"


@pytest.mark.parametrize("name", ["model"])
def test_in_a_notebook_the_explorer_works_and_cannot_reach_the_notebook(notebook):
    frame = notebook.frames[1]
    slider = frame.get_by_label("Threshold: drag")
    slider.press("End")
    assert slider.get_attribute("aria-valuetext").startswith("no alerts")
    reached = """() => {
      try { return parent.document.title; } catch (error) { return error.name; }
    }"""
    assert frame.evaluate(reached) == "SecurityError"


@pytest.mark.parametrize("name", ["model"])
def test_a_notebook_shows_the_summary_once_with_the_report_or_without(notebook):
    summary = notebook.get_by_text("trust this notebook")
    assert not summary.is_visible()
    # What JupyterLab removes from the outputs of a notebook that it does not trust.
    notebook.evaluate("document.querySelectorAll('iframe, style').forEach(one => one.remove())")
    assert summary.is_visible()
