"""A process that is killed while it archives loses nothing, and the next call goes on."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import textwrap

import pytest
from archives import MONTHS, content, fill, read_all
from polars.testing import assert_frame_equal

from synfin_analytics import archive_transactions, load_df, read_df, verify_archive

#: Archives once for each line of the input, in a process that kills itself at that step. A step is
#: a statement to the server, or a file that is opened, renamed or removed.
PROGRAM = textwrap.dedent("""
    import os, signal, sys
    from sqlalchemy import event
    from synfin_analytics import archive_transactions, get_db_manager

    FOLDER = sys.argv[1]

    def archive(last_step):
        steps = 0

        def count(*_):
            nonlocal steps
            steps += 1
            if steps == last_step:
                os.kill(os.getpid(), signal.SIGKILL)

        def audit(name, arguments):
            if name in ("open", "os.rename", "os.remove") and FOLDER in str(arguments[0]):
                count()

        manager = get_db_manager()
        event.listen(manager.engine, "before_cursor_execute", count)
        event.listen(manager.engine, "commit", count)
        sys.addaudithook(audit)
        archive_transactions(FOLDER, "2025-03", manager=manager, batch_size=5)

    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            archive(int(line))
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
""")


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_loses_nothing_and_the_next_call_goes_on(manager, tmp_path, seed):
    fill(manager)
    before, rows = content(manager), read_all(manager)
    steps = random.Random(seed)
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdin is not None
        assert program.stdout is not None
        killed = 0
        for _ in range(8):
            program.stdin.write(f"{steps.randint(1, 150)}\n")
            program.stdin.flush()
            killed += int(program.stdout.readline()) == -signal.SIGKILL
            archive = tmp_path if (tmp_path / "manifest.json").exists() else None
            halves = read_all(manager, archive)
            for table, frame in rows.items():
                assert_frame_equal(frame, halves[table])
        program.stdin.close()
    assert killed
    archive_transactions(tmp_path, MONTHS[2], manager=manager)
    assert read_df("transactions", manager=manager)["timestamp"].dt.month.min() == 3
    assert verify_archive(tmp_path).empty
    listed = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not [name for name in listed if "partial" in name]
    load_df(tmp_path, manager=manager)
    assert content(manager) == before
