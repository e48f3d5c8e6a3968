"""What the README shows works, and what it lists is what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
import yaml

from synfin_analytics.cli import main
from synfin_analytics.database._settings import VARIABLES

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
#: On a screen of 1080 lines height; the picture takes its share.
FIRST_SCREEN = 32


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("synfin ")]


def test_the_code_runs_from_top_to_bottom_and_gives_numbers(manager, tmp_path, monkeypatch, capsys):
    """One script in one session, in a database that is empty at its beginning."""
    monkeypatch.chdir(tmp_path)  # it writes files
    mpl.use("agg")
    space: dict[str, Any] = {}
    exec(compile("\n".join(blocks("python")), "README.md", "exec"), space)
    mpl.pyplot.close("all")

    printed = capsys.readouterr().out
    assert not re.search(r"\bnan\b", printed), printed
    assert len(space["everything"]) > 1000
    assert space["rates"]["fraud_rate"].notna().all()
    for name in ("precision", "recall", "false_positives"):
        assert space["performance"][name] > 0
    assert space["one"].summary().set_index("metric")["value"].notna().all()
    assert space["one"].precision > space["one"].prevalence
    assert space["by_channel"].group_min("recall").group is not None
    assert (tmp_path / "report.html").is_file()


def test_the_first_screen_shows_two_commands_a_picture_and_code():
    screen = "\n".join(TEXT.splitlines()[:FIRST_SCREEN])
    for needed in ("make demo", "make test", "](docs/images/", "load_df(", "fraud_rate("):
        assert needed in screen
    assert screen.count("```") % 2 == 0


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one_that_synfin_understands(command):
    context = main.make_context("synfin", shlex.split(command, comments=True)[1:])
    arguments = [*context._protected_args, *context.args]
    group = main
    while True:
        name, one, arguments = group.resolve_command(context, arguments)
        if not hasattr(one, "resolve_command"):
            break
        context = one.make_context(name, arguments, parent=context)
        arguments, group = [*context._protected_args, *context.args], one
    one.make_context(name, arguments, parent=context)  # click refuses what it does not know


def test_every_setting_is_listed():
    for variable in [*VARIABLES.values(), "DATABASE_URL"]:
        assert f"| `{variable}` |" in TEXT


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        file, _, anchor = target.partition("#")
        assert (ROOT / file).exists(), target
        headings = {
            re.sub(r"[^\w -]", "", title).replace(" ", "-").lower()
            for title in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
        }
        assert not anchor or anchor in headings, target


def test_the_picture_is_small_enough_to_commit():
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < 150_000


def test_conda_installs_what_pip_does():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [one for one in environment["dependencies"] if isinstance(one, dict)]
    assert pip == {"pip": ["--editable .[duckdb,notebooks]"]}
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {"duckdb", "notebooks"} <= set(project["optional-dependencies"])
    (python,) = [
        one
        for one in environment["dependencies"]
        if isinstance(one, str) and one.startswith("python ")
    ]
    assert python.removeprefix("python ") == project["requires-python"]
