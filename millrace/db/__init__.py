"""Where state lives: one SQLite file or one Postgres database.

`session` opens transactions, `tables` says what rows may exist, `migrations` brings a database up
to date. Nothing here knows what a state means: that is `millrace.lifecycle`.
"""
