"""What tenants have on file: what they uploaded, what was made of it, and batches of requests.

Verbs and questions on rows only; each takes a connection inside an open transaction. The bytes,
and the jobs that batches become, are looked after by `millrace.front.openai`.
"""
