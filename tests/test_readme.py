"""The README: its code runs, its first screen has what a visitor needs, its links exist."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import matplotlib as mpl
import yaml
from documentation import DOCS, PYTHON, blocks

ROOT = DOCS.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
#: On a screen of 1080 lines height; the picture takes its share.
FIRST_SCREEN = 32


def test_the_code_runs_from_top_to_bottom_and_gives_numbers(manager, tmp_path, monkeypatch, capsys):
    """One script in one session, in a database that is empty at its beginning."""
    monkeypatch.chdir(tmp_path)  # it writes files
    mpl.use("agg")
    space: dict[str, Any] = {}
    exec(compile("\n".join(blocks(TEXT, PYTHON)), "README.md", "exec"), space)
    mpl.pyplot.close("all")

    printed = capsys.readouterr().out
    assert not re.search(r"\bnan\b", printed), printed
    assert len(space["payments"]) > 1000
    assert space["rates"]["fraud_rate"].notna().all()
    assert space["by_amount"]["fraud_rate"].notna().all()
    assert len(space["features"]) == len(space["world"].transactions)
    assert len(space["patterns"].to_frame()) > 0
    evaluation = space["evaluation"]
    assert evaluation.average_precision > evaluation.prevalence
    assert (tmp_path / "report.html").is_file()


def test_the_first_screen_shows_two_commands_a_picture_and_code():
    screen = "\n".join(TEXT.splitlines()[:FIRST_SCREEN])
    for needed in ("make demo", "make test", "](docs/images/", "load_df(", "fraud_rate("):
        assert needed in screen
    assert screen.count("```") % 2 == 0


def test_the_readme_has_an_example_for_each_kind_of_reader():
    for title in ("## For analysts", "## For model validators", "## For teachers"):
        section = TEXT.split(title)[1].split("\n## ")[0]
        assert len(blocks(section, PYTHON)) == 1


def test_the_readme_is_short():
    assert len(TEXT.split()) < 700


def test_links_are_not_broken():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_the_picture_is_small_enough_to_commit():
    for picture in (DOCS / "images").iterdir():
        assert picture.stat().st_size < 150_000


def test_conda_installs_the_same_packages_as_pip():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [entry for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == {"pip": ["--editable .[duckdb,notebooks]"]}

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"duckdb", "notebooks"} <= set(project["optional-dependencies"])
    (python,) = [
        entry
        for entry in environment["dependencies"]
        if isinstance(entry, str) and entry.startswith("python ")
    ]
    assert python.removeprefix("python ") == project["requires-python"]
