"""Build the documentation site into out/docs/html: `make docs`.

Pages that run code use the embedded server in a scratch folder, which is removed at the end.
Warnings are errors. Nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OUT = ROOT / "out" / "docs"
JOBS = "2"


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment of the build: no database but the scratch server's, quiet tools."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DB_", "PG")) and name != "DATABASE_URL"
    }
    return kept | {
        "DB_DATA_DIR": str(scratch / "pg"),
        "IPYTHONDIR": str(scratch / "ipython"),
        "MPLBACKEND": "agg",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # debugpy writes to stderr without it
    }


def drop_stale_caches() -> None:
    """Keep the results of executed pages of one version of the package: the last one built."""
    caches = sorted((OUT / "cache").glob("*"), key=lambda path: path.stat().st_mtime)
    for stale in caches[:-1]:
        shutil.rmtree(stale)


def main() -> int:
    """Run Sphinx, and stop the scratch server whatever happens."""
    scratch = Path(tempfile.mkdtemp(prefix="synfin-docs-"))
    scratch.chmod(0o711)  # root's server runs as another user, who must reach its folder
    variables = environment(scratch)
    sphinx = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    paths = ["--doctree-dir", str(OUT / "doctrees"), str(HERE), str(OUT / "html")]
    try:
        build = [*sphinx, "--jobs", JOBS, "--builder", "html", *paths, *sys.argv[1:]]
        code = subprocess.run(build, env=variables, check=False).returncode
    finally:
        if (scratch / "pg").exists():
            synfin = str(Path(sys.executable).with_name("synfin"))
            subprocess.run([synfin, "db", "stop", "--force"], env=variables, check=False)
        shutil.rmtree(scratch, ignore_errors=True)
    if code == 0:
        drop_stale_caches()
        print(f"The site is built: {(OUT / 'html' / 'index.html').as_uri()}")
    return code


if __name__ == "__main__":
    sys.exit(main())
