"""The model gateway: tiers, endpoints, limits, prices, retries, and an account of every try."""
