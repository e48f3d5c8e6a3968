"""Exercises: generated data per student, stepwise hints, and checks that explain what is wrong.

An exercise notebook starts with ``data = start_lesson("05", seed=7)``, then calls
``check("05.1", answer)`` and ``hint("05.1")``. docs/teaching.md explains how to run a class.
"""

from synfin_analytics.course.feedback import CheckResult, Hint
from synfin_analytics.course.session import LessonData, check, hint, start_lesson

__all__ = ["CheckResult", "Hint", "LessonData", "check", "hint", "start_lesson"]
