"""Strings that must not be shown: passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Secret(str):
    """A string that hides its text in ``repr``, ``str`` and formatting; for passwords.

    A traceback with local variables, such as IPython's verbose mode, shows ``'***'``. Comparing,
    encoding and pickling use the text itself: a pickled configuration contains the password.

    Examples
    --------
    >>> password = Secret("s3cr3t")
    >>> password, f"{password}", password == "s3cr3t"
    ('***', '***', True)
    >>> len(password.reveal())
    6
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Secret:
        """Hide ``text``; a secret stays the same object."""
        return text if isinstance(text, cls) else super().__new__(cls, text)

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, _spec: str) -> str:
        return "***"

    def reveal(self) -> str:
        """Return the text; only the driver may have it.

        Examples
        --------
        >>> Secret("a").reveal()
        'a'
        """
        return str.__str__(self)


def reveal_secrets(arguments: Mapping[str, str | int]) -> dict[str, str | int]:
    """Replace the secrets among the arguments of a call by their texts.

    Examples
    --------
    >>> reveal_secrets({"user": "ana", "password": Secret("s3cr3t")})
    {'user': 'ana', 'password': 's3cr3t'}
    """
    return {
        name: value.reveal() if isinstance(value, Secret) else value
        for name, value in arguments.items()
    }
