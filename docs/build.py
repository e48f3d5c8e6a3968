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
sys.path.insert(0, str(HERE / "_extensions"))
from digests import SOURCES, digest_of

ROOT = HERE.parent
OUT = ROOT / "out" / "docs"
#: Digest of the sources of the built site; tests compare it with the current sources.
STAMP = OUT / "html" / ".sources"
JOBS = "2"


#: Settings of the kernels that run cells.
KERNEL = "c.IPKernelApp.log_level = 40  # its warnings are about connections, not about a page\n"


def configure_kernels(profile: Path) -> None:
    """Write the IPython profile that the kernels use."""
    profile.mkdir(parents=True)
    (profile / "ipython_kernel_config.py").write_text(KERNEL, encoding="utf-8")


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment of the build: the scratch server's database, and quiet tools."""
    dropped = ("DB_", "PG", "DATABASE_URL", "MPLBACKEND")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return inherited | {
        "DB_DATA_DIR": str(scratch / "pg"),
        "IPYTHONDIR": str(scratch / "ipython"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # debugpy writes to stderr without it
    }


def drop_stale_caches() -> None:
    """Remove cached page results of all versions of the package but the last."""
    caches = sorted((OUT / "cache").glob("*"), key=lambda path: path.stat().st_mtime)
    for stale in caches[:-1]:
        shutil.rmtree(stale)


def main() -> int:
    """Run Sphinx, and stop the scratch server in any case."""
    sources = digest_of(*SOURCES)
    STAMP.unlink(missing_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="synfin-docs-"))
    scratch.chmod(0o711)  # root's server runs as another user, who must reach its folder
    variables = environment(scratch)
    configure_kernels(scratch / "ipython" / "profile_default")
    sphinx = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--quiet"]
    paths = ["--doctree-dir", str(OUT / "doctrees"), str(HERE), str(OUT / "html")]
    synfin = str(Path(sys.executable).with_name("synfin"))
    try:
        if os.geteuid() == 0:
            # The first start by root creates a user and warns of that: here, and not on a page.
            subprocess.run(
                [synfin, "db", "upgrade"], env=variables, check=True, capture_output=True
            )
        build = [*sphinx, "--jobs", JOBS, "--builder", "html", *paths, *sys.argv[1:]]
        code = subprocess.run(build, env=variables, check=False).returncode
    finally:
        if (scratch / "pg").exists():
            stop = [synfin, "db", "stop", "--force"]
            subprocess.run(stop, env=variables, check=False, stdout=subprocess.DEVNULL)
        shutil.rmtree(scratch, ignore_errors=True)
    if code != 0:
        # Sphinx reads only changed pages, so a second build would not repeat the warnings.
        shutil.rmtree(OUT / "doctrees", ignore_errors=True)
        return code
    drop_stale_caches()
    STAMP.write_text(sources, encoding="utf-8")
    print(f"The site is built: {(OUT / 'html' / 'index.html').as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
