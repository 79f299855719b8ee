"""The pool of the tests of a fleet."""

from tests.batch.work import writer as _writer

writer = _writer()
