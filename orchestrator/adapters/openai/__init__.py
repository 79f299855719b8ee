"""Endpoints that speak OpenAI's Chat Completions, through the vendor's client."""
