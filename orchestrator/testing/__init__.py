"""What users and our own tests build on: contract suites, scenarios, scripted parts."""
