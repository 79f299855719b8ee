"""The cache: hits and wrong serves on labelled pairs, and what a look-up costs."""
