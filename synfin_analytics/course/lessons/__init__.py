"""The exercises, lesson by lesson: data, hints, truths and what mistakes would give."""
