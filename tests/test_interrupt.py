"""An interrupt (Ctrl-C) never leaves a thread at a connection that somebody goes on to use."""

from __future__ import annotations

import threading

import pytest
from psycopg2.extensions import TRANSACTION_STATUS_INERROR

from synfin_analytics.frames.interrupt import interruptible


@pytest.fixture
def driver(session):
    return session.connection().connection.driver_connection


def test_an_interrupt_while_the_thread_is_starting_ends_what_it_does(driver, monkeypatch):
    begun = threading.Event()
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        begun.wait(60)
        raise KeyboardInterrupt

    def work():
        begun.set()
        driver.cursor().execute("SELECT pg_sleep(200)")

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        interruptible(driver, work)
    assert driver.info.transaction_status == TRANSACTION_STATUS_INERROR  # cancelled, nobody waits


def test_an_interrupt_before_the_thread_is_there_keeps_it_from_the_connection(driver, monkeypatch):
    late = []

    def interrupted(thread):
        late.append(thread)
        raise KeyboardInterrupt

    begun = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            interruptible(driver, lambda: begun.append(True))
    late[0].start()
    late[0].join()
    assert not begun
