"""Pseudonyms: HMAC-SHA256 of an identifier with a secret key.

A hash without a key would be no protection: whoever has a list of customer ids computes the hash of
each of them and compares.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re

from synfin_analytics.database._secret import Secret
from synfin_analytics.exceptions import ConfigurationError
from synfin_analytics.io.erasure._identifiers import reveal

KEY_VARIABLE = "SYNFIN_PSEUDONYM_KEY"
#: As many as HMAC-SHA256 has bytes of output; a shorter key would be the weakest part.
MIN_KEY_BYTES = 32
#: 128 bits: the chance that two of a billion identifiers get the same is about 10^-21.
_DIGITS = 32
_PREFIX = "ps-"
_PSEUDONYM = re.compile(rf"{_PREFIX}[0-9a-f]{{{_DIGITS}}}")


class Pseudonyms:
    """Compute pseudonyms with the key of the environment, which is in no attribute as text.

    Raises
    ------
    ConfigurationError
        The key is missing, or shorter than 32 bytes.

    Examples
    --------
    >>> import os
    >>> os.environ["SYNFIN_PSEUDONYM_KEY"] = "an example, not a secret: use openssl rand -hex 32"
    >>> pseudonyms = Pseudonyms()
    >>> pseudonyms.of("customer_id", "C1")
    'ps-52202a340eaa362e57cf0732b0d0ae7a'
    >>> pseudonyms.of("customer_id", "C1") == pseudonyms.of("card_id", "C1")
    False
    """

    def __init__(self) -> None:
        key = Secret(os.environ.get(KEY_VARIABLE, ""))
        if not key:
            raise ConfigurationError(
                f"{KEY_VARIABLE} must be set to the secret key of the pseudonyms, at least "
                f"{MIN_KEY_BYTES} bytes, such as the output of `openssl rand -hex 32`. Keep it "
                "apart from the data. Nothing was changed.",
                variable=KEY_VARIABLE,
            )
        n_bytes = len(os.fsencode(key.reveal()))
        if n_bytes < MIN_KEY_BYTES:
            raise ConfigurationError(
                f"{KEY_VARIABLE} must have at least {MIN_KEY_BYTES} bytes; it has {n_bytes}. "
                "Create one with `openssl rand -hex 32`. Nothing was changed.",
                variable=KEY_VARIABLE,
            )
        self._hmac = hmac.new(os.fsencode(key.reveal()), digestmod=hashlib.sha256)

    def of(self, column: str, identifier: str) -> str:
        """Return the pseudonym of an identifier: another one for the same text in other columns.

        Parameters
        ----------
        column
            Name of its column.
        identifier
            The identifier.
        """
        return _PREFIX + self._digest(f"{column}\0{reveal(identifier)}")[:_DIGITS]

    @property
    def key_id(self) -> str:
        """Eight digits that differ between keys and do not tell the key."""
        return self._digest("\0key")[:8]

    def _digest(self, text: str) -> str:
        digest = self._hmac.copy()
        digest.update(text.encode())
        return digest.hexdigest()


def is_pseudonym(text: str) -> bool:
    """Whether a text is a pseudonym already.

    Examples
    --------
    >>> is_pseudonym("ps-52202a340eaa362e57cf0732b0d0ae7a"), is_pseudonym("C1")
    (True, False)
    """
    return _PSEUDONYM.fullmatch(reveal(text)) is not None
