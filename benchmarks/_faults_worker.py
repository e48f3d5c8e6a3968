"""A process of the campaign of faults: it does the work that its standard input names.

Each line is the name of a work; the answers are lines of JSON. The process may be killed at any
moment, so that nothing else happens in it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from _faults_kinds import WORKS

from synfin_analytics import DatabaseConfig, DatabaseManager
from synfin_analytics.exceptions import SynfinError


def main() -> None:
    """Do the work of each line until the input ends."""
    folder = Path(sys.argv[1])
    config = DatabaseConfig.from_env()
    managers: dict[str, DatabaseManager] = {}

    def say(event: str, **details: object) -> None:
        print(json.dumps({"event": event, **details}), flush=True)

    say("ready")
    while line := sys.stdin.readline():
        work = WORKS[line.strip()](folder)
        if work.database not in managers:
            managers[work.database] = DatabaseManager(
                dataclasses.replace(config, database=work.database)
            )
        manager = managers[work.database]
        try:
            say("begin")
            work.run(manager)
            say("end", outcome="success")
        except KeyboardInterrupt:
            say("end", outcome="interrupted")
        except SynfinError as error:
            say("end", outcome="error", kind=type(error).__name__, message=str(error))
        except Exception as error:  # noqa: BLE001 - reported as an unexpected error of the campaign
            say("end", outcome="unexpected", kind=type(error).__name__, message=str(error)[:300])


if __name__ == "__main__":
    while True:
        try:
            main()
            break
        except KeyboardInterrupt:  # it came when the work had ended already
            print(json.dumps({"event": "end", "outcome": "interrupted"}), flush=True)
