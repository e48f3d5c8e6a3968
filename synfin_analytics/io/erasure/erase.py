"""Remove customers from the database: :func:`erase_customer`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfin_analytics.database.logging import logger
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.erasure._identifiers import check_customer_ids
from synfin_analytics.io.erasure._tables import CustomerRows
from synfin_analytics.io.erasure._transaction import erasure_transaction, open_target
from synfin_analytics.io.erasure._vacuum import vacuum_tables
from synfin_analytics.io.erasure.report import ErasureReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager


def erase_customer(
    customer_id: str | Sequence[str],
    *,
    session: Session | None = None,
    manager: DatabaseManager | None = None,
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
    privileges = ["SELECT"] if dry_run else ["SELECT", "UPDATE", "DELETE"]
    with erasure_transaction(session, target, privileges) as cursor:
        rows = CustomerRows(cursor, customer_id, lock=not dry_run)
        if not rows.n_customers:
            raise unknown_customers(len(customer_id))
        shared = rows.mark_shared()
        identifiers = rows.identifiers()
        patterns = list(rows.rewrite_patterns(identifiers, change=not dry_run))
        changed = [*(rows.count() if dry_run else rows.delete()), *patterns]
    report = ErasureReport(
        "erase",
        dry_run=dry_run,
        customers=rows.n_customers,
        unknown=len(customer_id) - rows.n_customers,
        changed=tuple(changed),
        shared=shared,
    )
    if not dry_run:
        logger.info("erasure: %r", report)
    if vacuum and not dry_run:
        vacuum_tables(target, [item.table for item in changed])
    return report


def unknown_customers(n_customers: int) -> ArgumentError:
    """Return the error if no row belongs to any of the customers.

    Parameters
    ----------
    n_customers
        Number of ids that were given.

    Examples
    --------
    >>> unknown_customers(2)
    ArgumentError('No row belongs to any of the 2 customers. Nothing was changed.')
    """
    whom = "this customer" if n_customers == 1 else f"any of the {n_customers:,} customers"
    return ArgumentError(f"No row belongs to {whom}. Nothing was changed.")
