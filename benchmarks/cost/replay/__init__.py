"""One mixed workload, with everything that saves money off and on, against an endpoint that knows the truth."""
