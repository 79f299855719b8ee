"""What the parts that save money are worth: cache, routing, compression, batch, and all of them together."""
