"""Queues: throughput, round trips and killed workers, beside other Python queues on one Redis."""
