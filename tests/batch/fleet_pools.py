"""The pool of the tests of a fleet."""

from benchmarks.cost.batch.work import writer as _writer

writer = _writer()
