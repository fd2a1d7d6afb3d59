"""Faults are end-to-end tests: they, too, leave no thread and no child process behind."""

from tests.e2e.conftest import nothing_leaks

__all__ = ["nothing_leaks"]
