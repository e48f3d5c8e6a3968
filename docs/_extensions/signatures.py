"""Signatures of results without private parameters."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from sphinx.util.inspect import stringify_signature

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def _hide_private_parameters(
    _app: Sphinx, what: str, _name: str, member: type, _options: object, text: str | None, _: object
) -> tuple[str, None] | None:
    """Leave out parameters that only the package passes, when it creates a result."""
    if what != "class" or text is None:
        return None
    signature = inspect.signature(member)
    parameters = [item for item in signature.parameters.values() if not item.name.startswith("_")]
    if len(parameters) == len(signature.parameters):
        return None
    shown = signature.replace(parameters=parameters)
    return stringify_signature(shown, show_return_annotation=False), None


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the handler."""
    app.connect("autodoc-process-signature", _hide_private_parameters)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
