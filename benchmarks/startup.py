"""Time of ``import synfin_analytics``, and of the first query on an embedded database.

    python benchmarks/startup.py [--repeat 5]

Each time in a process of its own, since only the first import reads the files.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

import click
from _place import own_folder

from synfin_analytics.database import embedded
from synfin_analytics.exceptions import SynfinError

#: Modules that a notebook which draws nothing and trains nothing should not wait for.
HEAVY = ("matplotlib", "pyspark", "sklearn", "statsmodels", "duckdb", "sqlglot")

_IMPORT = f"""
import json, sys, time
started = time.perf_counter()
import synfin_analytics
seconds = time.perf_counter() - started
print(json.dumps([seconds, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
_QUERY = """
import json, time
from synfin_analytics import get_db_manager
started = time.perf_counter()
manager = get_db_manager()
manager.execute_query("SELECT 1 AS one")
print(json.dumps([time.perf_counter() - started, []]))
manager.close()
"""


def _run(lines: str) -> tuple[float, list[str]]:
    result = subprocess.run(
        [sys.executable, "-c", lines], check=True, stdout=subprocess.PIPE, text=True
    )
    seconds, modules = json.loads(result.stdout)
    return seconds, modules


@click.command()
@click.option("--repeat", default=5, show_default=True, type=click.IntRange(min=1))
def main(repeat: int) -> None:
    """Measure the import, and the first query on a new, a sleeping and a running server."""
    imports = [_run(_IMPORT) for _ in range(repeat)]
    heavy = sorted({name for _, modules in imports for name in modules})
    rows = [("import synfin_analytics", [seconds for seconds, _ in imports])]
    with own_folder() as folder:
        rows.append(("first query, new database (initdb)", [_run(_QUERY)[0]]))
        sleeping = []
        for _ in range(repeat):
            embedded.stop(folder, force=True)
            sleeping.append(_run(_QUERY)[0])
        rows.append(("first query, server to be started", sleeping))
        server = embedded.EmbeddedPostgres(folder)
        server.start()
        rows.append(("first query, server running", [_run(_QUERY)[0] for _ in range(repeat)]))
        server.release()
    click.echo("| | median seconds | slowest |\n| --- | ---: | ---: |")
    for label, seconds in rows:
        click.echo(f"| {label} | {statistics.median(seconds):.2f} | {max(seconds):.2f} |")
    click.echo(f"\nHeavy modules imported: {', '.join(heavy) or 'none'}")


if __name__ == "__main__":
    try:
        main()
    except SynfinError as error:
        raise SystemExit(str(error)) from error
