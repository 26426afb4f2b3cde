"""Who may ask, for whom, and for what: keys, scopes, tenants and their storage, the audit trail.

A key belongs to one tenant and carries scopes; `keys.identify` turns its text into a `Caller`, the
one value that everything above goes by. Only the SHA-256 of a key is kept. Each verb takes a
connection inside an open write transaction and leaves its audit record in that same transaction.
"""
