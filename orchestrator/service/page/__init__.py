"""The page: documents of runs made from journals, and the static files that show them."""
