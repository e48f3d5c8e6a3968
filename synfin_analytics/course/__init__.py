"""Exercises: data of one's own, hints in steps, and checks that say what is wrong.

A notebook of exercises begins with ``data = begin("05", seed=7)``; ``check("05.1", answer)`` and
``hint("05.1")`` do the rest. What a teacher does is told in docs/teaching.md.
"""

from synfin_analytics.course.feedback import Hint, Verdict
from synfin_analytics.course.session import Material, begin, check, hint

__all__ = ["Hint", "Material", "Verdict", "begin", "check", "hint"]
