"""The HTTP service: jobs, streams, approvals and keys under `/v1`."""
