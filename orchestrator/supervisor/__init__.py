"""The supervisor agent: plans goals, judges outputs, patches plans. Everything a model writes here is checked first."""
