"""Webhooks: what is told, to whom, how often, and where it must not go."""
