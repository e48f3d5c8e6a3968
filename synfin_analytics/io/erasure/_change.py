"""One erasure or pseudonymisation: the database, and the folders that were named."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from synfin_analytics.database.logging import logger
from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.archive._identity import read_identity
from synfin_analytics.io.erasure._folders import FolderRows, open_folder
from synfin_analytics.io.erasure._tables import CustomerRows
from synfin_analytics.io.erasure._transaction import erasure_transaction
from synfin_analytics.io.erasure.report import Changed, ErasureReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.archive._manifest import Identity
    from synfin_analytics.io.erasure._pseudonyms import Pseudonyms


def change_customers(
    customer_ids: Sequence[str],
    manager: DatabaseManager,
    session: Session | None,
    paths: Sequence[Path],
    *,
    pseudonyms: Pseudonyms | None,
    dry_run: bool,
) -> ErasureReport:
    """Erase customers, or replace their identifiers.

    Parameters
    ----------
    customer_ids
        Ids of the customers.
    manager, session
        Database, and the session to join if there is one.
    paths
        Folders of archives and snapshots.
    pseudonyms
        Source of the pseudonyms; without one, the customers are erased.
    dry_run
        Whether to count only.

    Raises
    ------
    ArgumentError
        No row belongs to any of the customers.
    """
    privileges = ["SELECT"] if dry_run else ["SELECT", "UPDATE", "DELETE"]
    if pseudonyms is not None and not dry_run:
        privileges.append("INSERT")
    with contextlib.ExitStack() as stack:
        identity = _read_identity(manager, session) if paths else None
        folders = [
            stack.enter_context(open_folder(path, identity, customer_ids, change=not dry_run))
            for path in paths
            if identity is not None
        ]
        with erasure_transaction(session, manager, privileges) as cursor:
            rows = CustomerRows(cursor, customer_ids, pseudonyms, lock=not dry_run)
            shared, changed, n_found = _change(rows, folders, pseudonyms, dry_run=dry_run)
            n_leftovers = sum(folder.n_leftovers for folder in folders)
            if not n_found and not n_leftovers:
                raise _unknown_customers(len(customer_ids))
        for folder in folders:
            folder.switch()
    report = ErasureReport(
        "erase" if pseudonyms is None else "pseudonymise",
        dry_run=dry_run,
        customers=n_found,
        unknown=len(customer_ids) - n_found,
        changed=tuple(changed),
        shared=shared,
        leftovers=n_leftovers,
        key_id=None if pseudonyms is None else pseudonyms.key_id,
    )
    if not dry_run:
        logger.info("%r", report)
    return report


def _read_identity(manager: DatabaseManager, session: Session | None) -> Identity:
    if session is not None:
        return read_identity(session)
    with manager.session_scope() as own_session:
        return read_identity(own_session)


def _change(
    rows: CustomerRows,
    folders: Sequence[FolderRows],
    pseudonyms: Pseudonyms | None,
    *,
    dry_run: bool,
) -> tuple[int, list[Changed], int]:
    for folder in folders:
        rows.add(folder.transactions(), folder.identifiers())
    shared = rows.mark_shared(
        [pair for folder in folders for pair in folder.shared(rows.by_column())]
    )
    identifiers = rows.identifiers()
    if pseudonyms is None:
        changed = list(rows.count() if dry_run else rows.delete())
    else:
        changed = list(rows.count_updates() if dry_run else rows.update())
    changed += rows.rewrite_patterns(identifiers, change=not dry_run)
    for folder in folders:
        changed += folder.prepare(identifiers, change=not dry_run)
    # Counts only: a traceback with local variables shows no identifier.
    n_found = len(rows.found.union(identifiers.named, *(folder.found for folder in folders)))
    return shared, changed, n_found


def _unknown_customers(n_customers: int) -> ArgumentError:
    whom = "this customer" if n_customers == 1 else f"any of the {n_customers:,} customers"
    return ArgumentError(f"No row belongs to {whom}. Nothing was changed.")
