"""The pages of docs/: their code runs, their commands exist, their reference is complete."""

from __future__ import annotations

import importlib
import inspect
import shlex
import sys

import click
import matplotlib as mpl
import pytest
from documentation import CELL, DOCS, PYTHON, blocks, code, page

from synfin_analytics.cli import main
from synfin_analytics.database._settings import VARIABLES

sys.path.insert(0, str(DOCS / "_extensions"))
from reference import documented_names

#: Pages whose code runs here, from top to bottom, in an empty database.
RUN_HERE = [
    "explanation/label_delay",
    "getting_started",
    "guide/archive",
    "guide/database",
    "guide/erasure",
    "guide/evaluate",
    "guide/fraud_rates",
    "guide/inspect",
    "guide/labels",
    "guide/load",
    "guide/profile",
    "guide/read",
    "guide/replicas",
    "guide/rules",
    "guide/simulation",
    "guide/snapshots",
]
#: Pages whose code runs elsewhere, and where.
RUN_ELSEWHERE = {
    "guide/distributed": "tests/test_distributed.py",
    "guide/environments": "tests/database/test_environments.py",
    "guide/features": "tests/features/test_features_repository.py",
    "guide/jupyter": "tests/jupyter/test_jupyter.py",
    "guide/layouts": "tests/io/test_layouts.py",
    "guide/patterns": "tests/detection/test_detectors_documented.py",
    "guide/reports": "tests/reports/test_cli.py",
    "guide/teaching": "tests/course/test_class.py",
}
PAGES = sorted(
    str(path.relative_to(DOCS).with_suffix(""))
    for path in DOCS.rglob("*.md")
    if "api" not in path.parts
)


@pytest.mark.parametrize("name", RUN_HERE)
def test_the_code_of_a_page_runs_from_top_to_bottom(name, manager, tmp_path, monkeypatch):
    mpl.use("agg")
    from matplotlib import pyplot as plt

    monkeypatch.chdir(tmp_path)
    exec(compile(code(page(name)), f"{name}.md", "exec"), {})
    plt.close("all")


def test_a_test_runs_the_code_of_every_page():
    with_code = {name for name in PAGES if blocks(page(name), CELL, PYTHON)}
    assert with_code == {*RUN_HERE, *RUN_ELSEWHERE}
    for name, test in RUN_ELSEWHERE.items():
        assert name.rpartition("/")[2] in (DOCS.parent / test).read_text(encoding="utf-8")


def commands() -> list[str]:
    texts = [page(name) for name in PAGES]
    lines = [line for text in texts for block in blocks(text, "sh") for line in block.splitlines()]
    return [line for line in dict.fromkeys(lines) if line.startswith("synfin ")]


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one_that_synfin_accepts(command):
    context = main.make_context("synfin", shlex.split(command, comments=True)[1:])
    arguments = [*context._protected_args, *context.args]
    group: click.Group = main
    while True:
        name, subcommand, arguments = group.resolve_command(context, arguments)
        if not isinstance(subcommand, click.Group):
            break
        context = subcommand.make_context(name, arguments, parent=context)
        arguments, group = [*context._protected_args, *context.args], subcommand
    subcommand.make_context(name, arguments, parent=context)  # click rejects unknown options


def test_every_command_has_an_example():
    text = page("reference/cli")
    for name in main.list_commands(click.Context(main)):
        assert f"\nsynfin {name}" in text


def test_every_setting_is_listed():
    text = page("guide/database")
    for variable in [*VARIABLES.values(), "DATABASE_URL", "DB_ENV"]:
        assert f"| `{variable}` |" in text


# -- The reference ---------------------------------------------------------------------------------
NAMES = documented_names(DOCS / "reference")
#: Packages whose names are public; the first one's are pinned in tests/test_public_api.py.
PUBLIC = ["synfin_analytics", "synfin_analytics.course", "synfin_analytics.detection",
          "synfin_analytics.io.layouts"]  # fmt: skip
#: Constants, which pages name in their text.
CONSTANTS = {"ANOMALY_DETECTORS", "FRAUD_DETECTORS", "TABLES"}


def find(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("package", PUBLIC)
def test_the_reference_has_every_public_name(package):
    names = set(importlib.import_module(package).__all__) - CONSTANTS
    assert names - {name.rpartition(".")[2] for name in NAMES} == set()


def test_the_reference_has_every_exception():
    from synfin_analytics import exceptions

    classes = {
        f"{value.__module__}.{name}"
        for name, value in vars(exceptions).items()
        if inspect.isclass(value) and issubclass(value, Exception | Warning)
        if value.__module__ == exceptions.__name__
    }
    assert classes <= set(NAMES)


def test_the_reference_has_no_name_twice():
    objects = [find(name) for name in NAMES]
    assert len(objects) == len(set(map(id, objects)))


#: Names that are called or asked for something; an exception is described where it is raised.
CALLED = [name for name in NAMES if not name.startswith("synfin_analytics.exceptions.")]
METHODS = [
    f"{name}.{method}"
    for name in CALLED
    if name.count(".") == 1 and inspect.isclass(find(name))
    for method, value in inspect.getmembers(find(name), inspect.isroutine)
    if not method.startswith("_") and (getattr(value, "__module__", "") or "").startswith("synfin")
]


@pytest.mark.parametrize("name", CALLED)
def test_every_name_has_an_example(name):
    assert ">>> " in inspect.getdoc(find(name))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_main_classes_has_an_example(name):
    owner, _, method = name.rpartition(".")
    assert ">>> " in inspect.getdoc(getattr(find(owner), method))
