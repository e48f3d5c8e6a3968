"""Every work of the campaign of faults, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from _faults_archives import ARCHIVES
from _faults_work import LOADS

if TYPE_CHECKING:
    from _faults_work import Work

WORKS: dict[str, type[Work]] = {work.name: work for work in LOADS + ARCHIVES}
