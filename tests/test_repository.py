"""What stands beside the code agrees with it: versions, make targets, workflows, releases."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")])


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def jobs_of(path: Path) -> dict[str, dict[str, Any]]:
    jobs: dict[str, dict[str, Any]] = load(path)["jobs"]
    return jobs


def steps_of(path: Path) -> list[dict[str, Any]]:
    """Steps of a workflow's jobs, or of an action."""
    if path in ACTIONS:
        steps: list[dict[str, Any]] = load(path)["runs"]["steps"]
        return steps
    return [step for job in jobs_of(path).values() for step in job["steps"]]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))


def commands_in(text: str) -> set[str]:
    """Targets of the make commands in a page: in backticks, or at the start of a line of code."""
    blocks = "\n".join(re.findall(r"^```.*?$(.*?)^```", text, re.MULTILINE | re.DOTALL))
    return {
        *re.findall(r"`make ([a-z-]+)", text),
        *re.findall(r"^ *make ([a-z-]+)", blocks, re.MULTILINE),
    }


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


# -- Versions -------------------------------------------------------------------------------------


def test_the_citation_has_the_version_and_the_license_of_the_package():
    citation = load(ROOT / "CITATION.cff")
    assert citation["version"] == PROJECT["project"]["version"]
    assert citation["license"] == PROJECT["project"]["license"]


def test_ci_tests_every_python_that_the_package_names_on_linux_and_macos():
    matrix = jobs_of(ROOT / ".github/workflows/ci.yml")["tests"]["strategy"]["matrix"]
    named = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["project"]["classifiers"]))
    assert matrix["python"] == named
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"
    assert matrix["os"] == ["ubuntu-latest", "macos-latest"]


def test_the_lowest_versions_are_tested_on_the_lowest_python():
    [python] = [
        step["with"]["python-version"]
        for step in jobs_of(ROOT / ".github/workflows/ci.yml")["lowest-versions"]["steps"]
        if "python-version" in step.get("with", {})
    ]
    assert PROJECT["project"]["requires-python"] == f">={python}"


def test_ci_tests_the_oldest_and_the_newest_server_that_the_readme_names():
    versions = jobs_of(ROOT / ".github/workflows/ci.yml")["postgresql"]["strategy"]["matrix"]
    assert versions == {"version": ["14", "18"]}
    [embedded] = [item for item in PROJECT["project"]["dependencies"] if "embedded" in item]
    assert "18" in embedded


# -- Commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_a_make_target_in_a_page_exists(page):
    assert commands_in(page.read_text(encoding="utf-8")) <= targets()


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=short)
def test_a_workflow_runs_targets_and_scripts_that_exist(path):
    for step in steps_of(path):
        run = step.get("run", "")
        assert set(re.findall(r"^ *make ([a-z-]+)", run, re.MULTILINE)) <= targets()
        for script in re.findall(r"\bbash (\S+)", run):
            assert (ROOT / script).is_file()


def test_make_lists_each_target_with_its_description():
    phony = set(re.findall(r"^\.PHONY: (.+)$", read("Makefile"), re.MULTILINE))
    described = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))
    assert described == phony == targets()


def test_pre_commit_runs_what_make_lint_runs():
    hooks = [
        hook
        for repository in load(ROOT / ".pre-commit-config.yaml")["repos"]
        if repository["repo"] == "local"
        for hook in repository["hooks"]
    ]
    entries = {" ".join(hook["entry"].split()[2:4]) for hook in hooks}
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", read("Makefile"), re.MULTILINE)
    assert lint is not None
    for command in re.findall(r"-m (ruff \w+|mypy)", lint[1]):
        assert any(entry.endswith(command) or command in entry for entry in entries)


def test_the_tests_on_the_oldest_versions_are_files_that_exist():
    files = re.findall(r"\btests/[\w/]+(?:\.py)?", read(".ci/lowest"))
    assert files
    for file in files:
        assert (ROOT / file).exists(), file


def test_the_slow_files_that_are_tested_first_exist():
    named = re.search(r"^SLOW_FILES = \((.*?)^\)", read("conftest.py"), re.M | re.S)
    assert named is not None
    paths = [path.as_posix() for path in ROOT.glob("tests/**/test_*.py")]
    for ending in re.findall(r'"(.+?)"', named[1]):
        assert [path for path in paths if path.endswith(ending)], ending


# -- GitHub ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", WORKFLOWS, ids=short)
def test_a_workflow_has_read_permissions_and_a_time_limit(path):
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    for name, job in jobs_of(path).items():
        assert job["timeout-minutes"] <= 90, name


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=short)
def test_an_action_is_pinned_by_its_major_version(path):
    for step in steps_of(path):
        action = step.get("uses")
        if action and not action.startswith("./"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", action), action
        elif action:
            assert (ROOT / action / "action.yml").is_file()


def test_the_fields_of_an_issue_form_have_labels_and_unique_names():
    forms = [
        path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config"
    ]
    assert len(forms) >= 3
    for path in forms:
        form = load(path)
        assert form["name"]
        assert form["description"]
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert all(field["attributes"]["label"] for field in fields)
        names = [field["id"] for field in fields]
        assert len(names) == len(set(names))
        assert any(field.get("validations", {}).get("required") for field in fields)


def test_dependabot_updates_pip_actions_and_the_devcontainer():
    updates = {
        update["package-ecosystem"] for update in load(ROOT / ".github/dependabot.yml")["updates"]
    }
    assert updates == {"pip", "github-actions", "devcontainers"}


def test_the_devcontainer_has_what_the_tests_need():
    packages = set(re.findall(r"missing\+=\(([a-z0-9-]+)\)", read(".ci/run"))) - {"python3-venv"}
    assert len(packages) >= 6
    assert packages <= set(re.split(r"[\s\\]+", read(".devcontainer/Dockerfile")))
    assert '"build": { "dockerfile": "Dockerfile" }' in read(".devcontainer/devcontainer.json")


# -- Releases -------------------------------------------------------------------------------------


def test_a_fragment_of_the_changelog_has_a_type_that_its_readme_lists():
    types = [kind["directory"] for kind in PROJECT["tool"]["towncrier"]["type"]]
    listed = re.findall(r"^\| `(\w+)` \|", read("changelog.d/README.md"), re.MULTILINE)
    assert listed == types
    for path in (ROOT / "changelog.d").glob("*.md"):
        if path.name != "README.md":
            assert re.fullmatch(rf"(\d+|\+[\w-]+)\.({'|'.join(types)})(\.\d+)?\.md", path.name)


def test_the_changelog_has_the_marker_of_towncrier():
    assert read("CHANGELOG.md").count(PROJECT["tool"]["towncrier"]["start_string"]) == 1


def test_no_data_set_is_in_the_repository():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if files.returncode:
        pytest.skip("this is not a checkout of git")
    data = {".parquet", ".csv", ".arrow", ".xlsx", ".duckdb", ".gz", ".zip"}
    assert not [name for name in files.stdout.splitlines() if Path(name).suffix in data]


def test_every_file_of_the_source_distribution_exists():
    for pattern in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]:
        assert list(ROOT.glob(pattern.removeprefix("/"))), pattern


class Checkout:
    """A repository with what a release looks at, ready for version 1.2.0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".ci").mkdir()
        (folder / "changelog.d").mkdir()
        shutil.copy(ROOT / ".ci" / "release", folder / ".ci")
        self.write("pyproject.toml", '[project]\nversion = "1.2.0"\n')
        self.write("CITATION.cff", "version: 1.2.0\n")
        self.write("CHANGELOG.md", "# Changelog\n\n## [1.2.0] - 2026-11-30\n")
        self.write("changelog.d/README.md", "Fragments\n")
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def git(self, *arguments: str) -> str:
        run = subprocess.run(
            ["git", *arguments],
            cwd=self.folder, env=self.environment(), check=True, capture_output=True, text=True,
        )  # fmt: skip
        return run.stdout.strip()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "Change")

    def environment(self) -> dict[str, str]:
        identities = {f"GIT_{role}_{field}": "x@y.z" for role in ("AUTHOR", "COMMITTER")
               for field in ("NAME", "EMAIL")}  # fmt: skip
        bare = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        return {**bare, **identities, "GIT_CONFIG_GLOBAL": os.devnull, "PYTHON": "true"}

    def release(self) -> subprocess.CompletedProcess[str]:
        """Run the script; ``true`` takes the place of Python, which would build for a minute."""
        return subprocess.run(
            ["bash", ".ci/release"],
            cwd=self.folder, env=self.environment(), capture_output=True, text=True,
        )  # fmt: skip

    def refusal(self) -> str:
        run = self.release()
        assert run.returncode == 1
        return run.stderr


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_release_is_tagged(checkout):
    run = checkout.release()
    assert run.returncode == 0, run.stderr
    assert checkout.git("tag") == "v1.2.0"
    assert checkout.git("cat-file", "-t", "v1.2.0") == "tag"  # annotated


def test_a_version_is_released_only_once(checkout):
    checkout.release()
    assert "the tag v1.2.0 exists" in checkout.refusal()


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new.txt"])
def test_a_dirty_checkout_is_not_released(checkout, name):
    checkout.write(name, "x")
    assert "git status" in checkout.refusal()
    assert not checkout.git("tag")


def test_another_branch_is_not_released(checkout):
    checkout.git("switch", "--quiet", "--create", "fix")
    assert "not the branch main" in checkout.refusal()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("CHANGELOG.md", "## [1.1.0] - 2026-01-01\n", "no section for 1.2.0"),
        ("CHANGELOG.md", "## [1x2.0] - 2026-01-01\n", "no section for 1.2.0"),
        ("CHANGELOG.md", "## [Unreleased]\n\n## [1.2.0] - 2026-11-30\n", "section Unreleased"),
        ("changelog.d/12.added.md", "New.\n", "changelog.d/12.added.md"),
        ("CITATION.cff", "version: 1.1.0\n", "CITATION.cff names another version"),
        ("pyproject.toml", "[project]\n", "has no version"),
    ],
)
def test_an_inconsistent_checkout_is_not_released(checkout, name, text, message):
    checkout.write(name, text)
    checkout.commit()
    assert message in checkout.refusal()
    assert not checkout.git("tag")
