"""Requests to places that somebody else has named, such as webhooks: the one client for them.

`targets` says which URLs and addresses may be called at all; `client` resolves a name once, looks
at every address that it gives, and connects to those and no others.
"""
