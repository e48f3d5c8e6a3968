"""Remove customers from the database, or replace their identifiers by pseudonyms."""

from synfin_analytics.io.erasure.erase import erase_customer
from synfin_analytics.io.erasure.pseudonymise import customer_pseudonym, pseudonymise_customer
from synfin_analytics.io.erasure.report import Changed, ErasureReport

__all__ = [
    "Changed",
    "ErasureReport",
    "customer_pseudonym",
    "erase_customer",
    "pseudonymise_customer",
]
