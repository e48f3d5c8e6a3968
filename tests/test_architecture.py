"""The house's order: floors that import downwards only, small modules, documented functions."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "synfin_analytics"
LONGEST = 700

#: Each floor imports from itself and from those above it in this list.
FLOORS: dict[str, set[str]] = {
    "errors": {"_dates", "_fork", "arguments", "exceptions", "wording"},
    "database": {
        "_database", "_engine", "_libpq", "_settings", "_shipped", "config", "connect", "embedded",
        "grants", "log", "manager", "models", "schema", "sql_text",
    },
    "frames": {"frames"},
    "metrics": {"metrics"},
    "features": {"features"},
    "repositories": {"repositories"},
    "simulation": {"patterns", "readers", "scoring", "simulation"},
    "pictures": {"plots", "reports"},
    "exercises": {"exercises"},
    "commands": {"cli"},
    "face": {"__init__"},
}  # fmt: skip
#: `bulk_insert` and `execute_query` of the manager are words for what the floor below does.
EXCEPTIONS = {("manager", "frames"), ("_database", "frames")}


@dataclass(frozen=True)
class Import:
    """One import of a module of ours."""

    by: str
    of: str
    line: int
    for_types: bool


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def part_of(path: Path) -> str:
    """Name of the module or subpackage at the top of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[Import]:
    tree = tree_of(path)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "synfin_analytics":
            names = [f"synfin_analytics.{one.name}" for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} is a relative import"
            names = [node.module or ""]
        for name in names:
            top, _, rest = name.partition(".")
            if top == "synfin_analytics" and rest:
                of = rest.partition(".")[0]
                found.append(Import(part_of(path), of, node.lineno, id(node) in for_types))
    return found


def floor_of(part: str) -> int:
    for number, parts in enumerate(FLOORS.values()):
        if part in parts:
            return number
    raise AssertionError(f"{part!r} stands on no floor: add it to FLOORS of {Path(__file__).name}")


@pytest.fixture(params=modules(), ids=name_of)
def module(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_a_module_imports_from_its_own_floor_and_those_above(module):
    for one in imports_of(module):
        allowed = one.for_types or (one.by, one.of) in EXCEPTIONS
        assert allowed or floor_of(one.of) <= floor_of(one.by), (
            f"{name_of(module)}:{one.line} imports {one.of}, which stands on a floor below"
        )


def test_metrics_know_no_database():
    for path in (PACKAGE / "metrics").glob("*.py"):
        known = {one.of for one in imports_of(path)}
        assert known <= {"_fork", "arguments", "exceptions", "metrics", "wording"}, name_of(path)


def test_a_module_is_short_enough_to_be_read_in_one_go(module):
    lines = module.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{lines} lines: split it by what its parts are for"


def test_public_functions_and_classes_are_documented(module):
    assert ast.get_docstring(tree_of(module)), "the module says nothing about itself"
    for node in public_definitions(tree_of(module)):
        assert ast.get_docstring(node), f"{name_of(module)}:{node.lineno} {node.name}"


def public_definitions(
    body: ast.Module | ast.ClassDef,
) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    found: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef] = []
    for node in body.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            decorators = {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}
            if not node.name.startswith("_") and not decorators & {"overload", "setter"}:
                found.append(node)
                if isinstance(node, ast.ClassDef):
                    found += public_definitions(node)
    return found


def test_nothing_is_asserted_or_printed(module):
    for node in ast.walk(tree_of(module)):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: raise an error of ours"
        printed = isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
        assert not printed, f"line {getattr(node, 'lineno', 0)}: log it, or click.echo in the cli"
