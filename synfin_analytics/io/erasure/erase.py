"""Remove customers from the database: :func:`erase_customer`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.erasure._change import change_customers
from synfin_analytics.io.erasure._folders import check_folders
from synfin_analytics.io.erasure._identifiers import check_customer_ids
from synfin_analytics.io.erasure._transaction import open_target
from synfin_analytics.io.erasure._vacuum import vacuum_tables
from synfin_analytics.io.erasure.report import DATABASE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.erasure.report import ErasureReport


def erase_customer(
    customer_id: str | Sequence[str],
    *,
    session: Session | None = None,
    manager: DatabaseManager | None = None,
    archive: str | Path | Sequence[str | Path] | None = None,
    dry_run: bool = False,
    vacuum: bool = False,
    confirm: str | None = None,
) -> ErasureReport:
    """Erase customers: their rows in all tables, and their identifiers in stored patterns.

    Deletes their predictions, features, transactions and rows of customers. Patterns lose their
    ids, those of their transactions, and cards, devices and addresses that nobody else has; a
    pattern that is about nobody any more is deleted. All of it is one transaction.

    Parameters
    ----------
    customer_id
        Id of a customer, or a list of ids.
    session
        Session to join: what it does is then part of its transaction, which its owner commits.
    manager
        Database for a transaction of its own; the default manager's if there is none.
    archive
        Folder of an archive or a snapshot of this database, or a list of folders: their files are
        written again without the customers.
    dry_run
        Whether to count only.
    vacuum
        Whether to VACUUM the changed tables afterwards, which lets other rows overwrite the old
        ones.
    confirm
        Name of the database, which erasing from a protected one requires.

    Returns
    -------
    ErasureReport
        Numbers of rows by table, and what the call does not reach, such as backups.

    Raises
    ------
    ArgumentError
        No row belongs to any of the customers, or an argument is invalid.
    ArchiveError
        A folder is not of this database, or damaged; nothing was changed.
    ErasureError
        The server refuses; if the role lacks privileges, the message has the GRANT.
    ProtectedDatabaseError
        The database is protected, and ``confirm`` is not its name.

    Notes
    -----
    Merchants' totals, and the figures of patterns about several people, stay: they identify nobody.
    Rows of other customers stay as they are, also those with the same card or device.

    Examples
    --------
    >>> from synfin_analytics import get_db_manager
    >>> from synfin_analytics.repositories import CustomerRepository
    >>> get_db_manager().create_all_tables()
    >>> with get_db_manager().session_scope() as session:
    ...     _ = CustomerRepository(session).create(customer_id="C-example")
    >>> erase_customer("C-example", dry_run=True)
    ErasureReport(would be erased: 1 customer: 1 row of customers deleted)
    >>> erase_customer("C-example")
    ErasureReport(erased 1 customer: 1 row of customers deleted)
    """
    customer_id = check_customer_ids(customer_id)
    target = open_target(session, manager, "erase a customer", confirm, dry_run=dry_run)
    if vacuum and session is not None:
        raise ArgumentError(
            "`vacuum` must be False with `session`, whose transaction is still open; got True."
        )
    report = change_customers(
        customer_id, target, session, check_folders(archive), dry_run=dry_run, pseudonyms=None
    )
    if vacuum and not dry_run:
        changed = [item.table for item in report.changed if item.place == DATABASE]
        vacuum_tables(target, changed)
    return report
