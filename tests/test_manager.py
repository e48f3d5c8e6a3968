from __future__ import annotations

from sqlalchemy import text

from synfin_analytics.manager import DatabaseManager, get_db_manager


def test_pool_status_before_initialisation_says_so(empty_database):
    manager = DatabaseManager(empty_database)

    assert manager.get_pool_status() == {"status": "not_initialized"}


def test_the_process_has_one_manager(manager):
    assert get_db_manager() is manager
    assert get_db_manager(manager.config) is manager


def test_session_sees_the_tables(session):
    assert session.execute(text("SELECT count(*) FROM transactions")).scalar_one() == 0


def test_tcp_server_asks_for_the_password(tcp_server):
    manager = DatabaseManager(tcp_server.config())

    assert manager.health_check()
    manager.close()
