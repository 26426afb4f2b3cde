"""Engines: one module per way to run a model, all behind the one protocol of `base`.

An engine is found by its name in `millrace.catalog`; nothing else of the house knows what it runs.
"""
