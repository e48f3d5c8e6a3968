"""The exercises of each lesson: data, hints, correct answers and the results of typical mistakes.

Each module defines one ``LESSON``; ``course/exercise.py`` lists them.
"""
