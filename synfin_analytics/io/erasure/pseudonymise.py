"""Replace the identifiers of customers by pseudonyms: :func:`pseudonymise_customer`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synfin_analytics.exceptions import ArgumentError
from synfin_analytics.io.erasure._change import change_customers
from synfin_analytics.io.erasure._folders import check_folders
from synfin_analytics.io.erasure._identifiers import check_customer_ids
from synfin_analytics.io.erasure._pseudonyms import Pseudonyms, is_pseudonym
from synfin_analytics.io.erasure._transaction import open_target

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

    from synfin_analytics.database.manager import DatabaseManager
    from synfin_analytics.io.erasure.report import ErasureReport


def pseudonymise_customer(
    customer_id: str | Sequence[str],
    *,
    session: Session | None = None,
    manager: DatabaseManager | None = None,
    archive: str | Path | Sequence[str | Path] | None = None,
    dry_run: bool = False,
    confirm: str | None = None,
) -> ErasureReport:
    """Replace the identifiers of customers by pseudonyms, and remove their personal data.

    A pseudonym is an HMAC-SHA256 with the key of the environment variable ``SYNFIN_PSEUDONYM_KEY``
    (at least 32 bytes). The same key gives the same pseudonym: after another load of the customer's
    transactions, call this again and they join the earlier ones. Ids of customers, cards, devices
    and IP addresses get pseudonyms, in all rows and patterns that have them; names, contacts,
    addresses, dates of birth and coordinates become NULL. Amounts, times, labels, features and
    predictions stay, so that fraud rates and evaluations of models do not change.

    Parameters
    ----------
    customer_id
        Id of a customer, or a list of ids; a list of many takes one pass, too.
    session, manager, archive, dry_run, confirm
        As in :func:`erase_customer`.

    Returns
    -------
    ErasureReport
        Numbers of rows by table, and what the call does not reach, such as backups.

    Raises
    ------
    ConfigurationError
        The key is missing or too short.
    ArgumentError
        No row belongs to any of the customers, or an id is a pseudonym already.
    ArchiveError, ErasureError, ProtectedDatabaseError
        As in :func:`erase_customer`.

    Notes
    -----
    Who has the key can compute the pseudonym of a known id (:func:`customer_pseudonym`): to the
    law, pseudonymised data are personal data. Ids of transactions stay, since predictions and later
    labels refer to them: the bank's own ledger can resolve them.

    Examples
    --------
    >>> import os
    >>> from synfin_analytics import get_db_manager
    >>> from synfin_analytics.repositories import CustomerRepository
    >>> os.environ["SYNFIN_PSEUDONYM_KEY"] = "an example, not a secret: use openssl rand -hex 32"
    >>> get_db_manager().create_all_tables()
    >>> with get_db_manager().session_scope() as session:
    ...     _ = CustomerRepository(session).create(customer_id="P-example", email="p@example.org")
    >>> pseudonymise_customer("P-example")
    ErasureReport(pseudonymised 1 customer: 1 row of customers updated)
    """
    customer_id = check_customer_ids(customer_id)
    if any(map(is_pseudonym, customer_id)):
        raise ArgumentError(
            "`customer_id` must be ids of the bank; got a pseudonym. Nothing was changed."
        )
    pseudonyms = Pseudonyms()
    target = open_target(session, manager, "pseudonymise a customer", confirm, dry_run=dry_run)
    return change_customers(
        customer_id, target, session, check_folders(archive), dry_run=dry_run, pseudonyms=pseudonyms
    )


def customer_pseudonym(customer_id: str) -> str:
    """Return the pseudonym that :func:`pseudonymise_customer` gives to a customer.

    Parameters
    ----------
    customer_id
        Id of a customer.

    Raises
    ------
    ConfigurationError
        The key ``SYNFIN_PSEUDONYM_KEY`` is missing or too short.
    ArgumentError
        ``customer_id`` is not a string.

    Examples
    --------
    >>> import os
    >>> os.environ["SYNFIN_PSEUDONYM_KEY"] = "an example, not a secret: use openssl rand -hex 32"
    >>> customer_pseudonym("C1")
    'ps-...'
    """
    (customer_id,) = check_customer_ids([customer_id])
    return Pseudonyms().of("customer_id", customer_id)
