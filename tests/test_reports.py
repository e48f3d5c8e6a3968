"""The overview page: its numbers, its words, and that it stands alone."""

import datetime as dt
import math
import re
from html.parser import HTMLParser

import polars as pl
import pytest

from synfin_analytics.metrics import Confusion, fraud_rate
from synfin_analytics.reports import ModelFacts, Overview
from synfin_analytics.wording import between, number, percent, plural

NAN = math.nan


def statistics(**changes) -> dict:
    return {
        "total_count": 4,
        "total_amount": 100.0,
        "avg_amount": 25.0,
        "min_amount": 10.0,
        "max_amount": 40.0,
        "labelled_count": 4,
        "fraud_count": 1,
        "anomaly_count": 0,
        "fraud_rate": 0.25,
    } | changes


def overview(**changes) -> Overview:
    frame = pl.DataFrame(
        {
            "channel": ["pos", "pos", "online", None],
            "timestamp": [dt.datetime(2026, 1, day, tzinfo=dt.UTC) for day in (1, 2, 3, 4)],
            "amount": [10.0, 20.0, 30.0, 40.0],
            "is_fraud": [True, False, False, False],
        }
    )
    values = {
        "source": "Transactions of payments.parquet",
        "statistics": statistics(),
        "first": frame["timestamp"][0],
        "last": frame["timestamp"][-1],
        "rates": {"channel": fraud_rate(frame, by="channel")},
        "over_time": fraud_rate(frame, every="1d"),
        "model": ModelFacts("rf", "1.0", Confusion(tp=3, fp=1, fn=2, tn=94)),
    }
    return Overview(**values | changes)


class Page(HTMLParser):
    """Texts, tags and addresses of a page; refuses one whose tags do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.addresses, self.images, self.text = [], [], [], ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset")]
        self.images += [dict(attrs)] if tag == "img" else []
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.text += " "

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def test_the_page_needs_no_network_and_no_script():
    page = overview().html()
    parsed = Page(page)
    assert parsed.addresses
    assert all(address.startswith("data:image/svg+xml;base64,") for address in parsed.addresses)
    assert "<script" not in page
    assert "url(" not in page
    assert "@import" not in page


def test_every_picture_says_in_words_what_it_shows():
    images = Page(overview().html()).images
    assert len(images) == 2
    assert all("Fraud rate" in image["alt"] for image in images)


def test_the_page_has_the_numbers():
    text = " ".join(Page(overview().html()).text.replace("\u00a0", " ").split())
    assert "4 transactions from 2026-01-01 to 2026-01-04, worth 100;" in text
    assert "1 of them was fraud: 25.0 % (95 % interval 4.56 % to 69.9 %)." in text
    assert "pos 2 1 50.0 % 9.45 % to 90.5 % 3,333.3" in text
    assert "not known 1 0 0.00 %" in text
    assert "It raised 4 alarms, of which 3 were fraud: precision 75.0 %" in text
    assert "It found 3 of 5 frauds: recall 60.0 %" in text
    assert "be right for 95.0 % of the payments" in text


def test_what_comes_from_a_file_is_text_and_never_markup():
    nasty = "<script>alert(1)</script>"
    frame = pl.DataFrame({"channel": [nasty], "amount": [1.0], "is_fraud": [True]})
    page = overview(
        source=nasty, notes=(nasty,), model=nasty, rates={nasty: fraud_rate(frame, by="channel")}
    ).html()
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 5
    Page(page)


def test_what_is_not_labelled_is_said():
    some = overview(statistics=statistics(labelled_count=2, fraud_rate=0.5))
    assert "1 of the 2 that are labelled was fraud" in some.in_words()[1]
    none = overview(statistics=statistics(labelled_count=0, fraud_count=0, fraud_rate=NAN))
    assert none.in_words()[1] == "None of them is labelled: their fraud rate is not known."
    assert "not defined" in Page(none.html()).text


def test_a_model_that_never_alarms_is_told_as_such():
    words = ModelFacts("rf", "1", Confusion(0, 0, 2, 8), without_ground_truth=3).in_words()
    assert words[0] == (
        "It raised 0 alarms, of which 0 were fraud: precision is not defined: no transaction was "
        "predicted to be fraud."
    )
    assert "3 predictions of which the truth is not known are left out." in words


def test_a_model_of_which_no_truth_is_known_is_told_as_such():
    (words,) = ModelFacts("rf", "1", Confusion(0, 0, 0, 0)).in_words()
    assert "Of no prediction the truth is known" in words


def test_without_a_model_the_page_says_why():
    page = overview(model="No fraud is known.", rates={}, currency="EUR").html()
    text = Page(page).text
    assert "No fraud is known." in text
    assert "No column of these transactions has a few groups to compare." in text
    assert "worth 100 EUR" in text


def test_the_page_adapts_to_dark_to_small_and_to_paper():
    page = overview().html()
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert 'name="viewport"' in page


def test_the_same_numbers_give_the_same_page():
    """But for the moment it was made."""
    pages = [re.sub(r"on \d{4}-\d\d-\d\d \d\d:\d\d UTC", "", overview().html()) for _ in range(2)]
    assert pages[0] == pages[1]


def test_a_saved_page_is_the_page(tmp_path):
    path = overview().save(tmp_path / "page.html")
    assert "Fraud at a glance" in path.read_text(encoding="utf-8")
    assert overview()._repr_html_().startswith("<iframe srcdoc=")


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0.00 %"), (0.00837, "0.84 %"), (0.1, "10.0 %"), (1, "100.0 %"), (NAN, "not defined")],
)
def test_shares_are_told_with_the_digits_that_matter(share, said):
    assert percent(share).replace("\u00a0", " ") == said


def test_numbers_intervals_and_nouns():
    assert number(1234.5, 2) == "1,234.50"
    assert number(NAN) == "not defined"
    assert between(NAN, NAN) == "not defined"
    assert plural(1, "fraud") == "1 fraud"
    assert plural(0, "fraud") == "0 frauds"
