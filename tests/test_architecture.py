"""The architecture: imports go down only, without cycles; documented functions."""

from __future__ import annotations

import ast
import functools
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "synfin_analytics"

#: Each floor imports from itself and from those after it in this list.
FLOORS: tuple[set[str], ...] = (
    {"__init__"},
    {"cli"},
    {"course"},
    {"reports"},
    {"plots", "repositories", "detection", "simulation", "baseline", "scoring"},
    {"rules"},
    {"features", "metrics"},
    {"io"},
    {"database"},
    {"_core", "exceptions"},
)
#: Packages that may import another one's private modules: PostgreSQL is one of the engines that
#: count, so its queries build what the metrics compute with; rules are metrics of conditions.
FRIENDS = {
    ("cli", "reports"),
    ("database", "io"),
    ("io", "database"),
    ("reports", "metrics"),
    ("reports", "repositories"),
    ("reports", "rules"),
    ("repositories", "database"),
    ("repositories", "metrics"),
    ("repositories", "rules"),
    ("rules", "metrics"),
}
#: Modules with a plain name from which their package exports nothing: only the package itself
#: imports them, or others import the module itself.
INTERNAL = {
    "database": {"cache", "connection", "models", "protection", "schema"},
    "features": {"buckets"},
}


@dataclass(frozen=True)
class Import:
    """One import of a module of ours; ``target`` is its dotted name without the package's."""

    source: str
    target: str
    line: int
    for_types: bool


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def dotted(path: Path) -> str:
    """Name of a module within the package, as ``io.load.types``; of a package its folder's."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def names_of_modules() -> frozenset[str]:
    return frozenset(dotted(path) for path in modules())


@functools.cache
def imports_of(path: Path) -> list[Import]:
    tree = tree_of(path)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    imports = []
    for node in ast.walk(tree):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno} is a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                module = name.removeprefix("synfin_analytics.") in names_of_modules()
                targets.append(name if module else node.module or "")
        imports += [
            Import(
                dotted(path),
                target.removeprefix("synfin_analytics."),
                node.lineno,
                id(node) in for_types,
            )
            for target in dict.fromkeys(targets)
            if target.startswith("synfin_analytics.")
        ]
    return imports


def part_of(module: str) -> str:
    """Package at the top, or module, that a module belongs to."""
    return module.partition(".")[0]


def floor_of(part: str) -> int:
    for number, parts in enumerate(FLOORS):
        if part in parts:
            return number
    raise AssertionError(f"{part!r} is on no floor: add it to FLOORS of {Path(__file__).name}")


@pytest.fixture(params=modules(), ids=name_of)
def module(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_a_module_imports_from_its_own_floor_and_those_below(module):
    for item in imports_of(module):
        source, target = part_of(item.source), part_of(item.target)
        allowed = item.for_types
        assert allowed or floor_of(target) >= floor_of(source), (
            f"{name_of(module)}:{item.line} imports {item.target}, which is on a floor above"
        )


def test_private_modules_stay_within_their_package(module):
    for item in imports_of(module):
        source, target = part_of(item.source), part_of(item.target)
        private = any(part.startswith("_") for part in item.target.split(".")[1:])
        assert not private or source == target or (source, target) in FRIENDS, (
            f"{name_of(module)}:{item.line} imports {item.target}, which is private to {target}"
        )


def test_a_module_without_an_underscore_defines_names_that_its_package_exports():
    for folder in sorted(path.parent for path in PACKAGE.rglob("__init__.py")):
        package = dotted(folder / "__init__.py")
        if package == "__init__" or part_of(package) in {"_core", "cli"} or "lessons" in package:
            continue  # all of _core is internal; a command of the cli is a module; so is a lesson
        stub = folder / "__init__.pyi"
        face = (stub if stub.exists() else folder / "__init__.py").read_text(encoding="utf-8")
        public = {path.stem for path in folder.glob("[!_]*.py")}
        exported = set(re.findall(r"from [\w.]*\.(\w+) import", face))
        assert public - exported <= INTERNAL.get(package, set()), package


def test_metrics_and_features_use_no_database_connection():
    for part in ("metrics", "features"):
        for path in (PACKAGE / part).glob("*.py"):
            targets = {item.target for item in imports_of(path)}
            assert not {name for name in targets if name.startswith("database.manager")}
            if part == "metrics":
                # A hook of a higher floor has a type (`Evaluation.explore`), which is not imported.
                used = {part_of(item.target) for item in imports_of(path) if not item.for_types}
                assert used <= {"_core", "exceptions", "metrics"}


def cycles() -> set[frozenset[str]]:
    """Groups of modules that import each other, directly or not; imports for types count too."""
    graph = {
        dotted(path): {item.target for item in imports_of(path)} - {dotted(path)}
        for path in modules()
    }
    reachable = {name: reach(graph, name) for name in graph}
    return {
        frozenset(module for module in reachable[name] if name in reachable[module])
        for name in graph
        if name in reachable[name]
    }


def reach(graph: dict[str, set[str]], start: str) -> set[str]:
    """Modules that ``start`` imports, directly or not."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for target in graph.get(waiting.pop(), set()) - reached:
            reached.add(target)
            waiting.append(target)
    return reached


def test_no_modules_import_each_other():
    assert not cycles()


def test_public_functions_and_classes_are_documented(module):
    assert ast.get_docstring(tree_of(module)), "the module has no docstring"
    for node in public_definitions(tree_of(module)):
        assert ast.get_docstring(node), f"{name_of(module)}:{node.lineno} {node.name}"


def public_definitions(
    body: ast.Module | ast.ClassDef,
) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    definitions: list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef] = []
    for node in body.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            decorators = {
                ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list
            }
            if not node.name.startswith("_") and not decorators & {"overload", "setter"}:
                definitions.append(node)
                if isinstance(node, ast.ClassDef):
                    definitions += public_definitions(node)
    return definitions


def test_nothing_is_asserted_or_printed(module):
    for node in ast.walk(tree_of(module)):
        assert not isinstance(node, ast.Assert), f"line {node.lineno}: raise an error of ours"
        printed = isinstance(node, ast.Call) and ast.unparse(node.func) == "print"
        assert not printed, f"line {getattr(node, 'lineno', 0)}: log it, or click.echo in the cli"
