"""Webhooks: signed messages to receivers that tenants name, sent from a pool of their own."""
