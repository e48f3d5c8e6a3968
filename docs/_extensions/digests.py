"""Digests of sources, which identify cached results and the built site."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Sources of the site, without generated pages.
SOURCES = ("CHANGELOG.md", "benchmarks/README.md", "docs", "notebooks", "synfin_analytics")
_GENERATED = ("docs/reference/api/", "docs/lessons/0", "docs/lessons/1")
_SUFFIXES = {".css", ".ipynb", ".j2", ".md", ".png", ".py", ".pyi", ".rst"}


def digest_of(*names: str) -> str:
    """Digest of the files, and of all files in the folders."""
    digest = hashlib.sha256()
    for name in names:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            place = file.relative_to(ROOT).as_posix()
            if file.suffix in _SUFFIXES and not place.startswith(_GENERATED):
                digest.update(place.encode() + file.read_bytes())
    return digest.hexdigest()[:16]
