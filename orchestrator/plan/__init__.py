"""The plan as data: models, builder, files, expressions, graph, patches."""
