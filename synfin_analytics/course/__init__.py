"""Exercises on generated data: for students, for teachers who run a class, and for authors.

An exercise notebook starts with ``data = start_lesson("05", seed=7)``, then calls
``check("05.1", answer)`` and ``hint("05.1")``. A teacher calls :func:`assign_notebooks` and
:func:`grade_submissions`, or ``synfin class`` on the command line. An author combines
:class:`Exercise`, :class:`Lesson` and graders such as :class:`Number`.

The public names are listed in ``__init__.pyi``. Each is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
