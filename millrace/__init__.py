"""Millrace records: the shared core that every service stands on, and which imports none of them.

A job is one `JobSpec`. Its inputs are pinned and laid out as one space of positions, which the plan
cuts into chunks; a chunk is a row in the database (`db`, `lifecycle`) that workers claim by lease.
Rows are read and written as Arrow record batches (`datasets`) from and to folders or object stores
(`storage`). The manifest, made from database rows alone, is what turns parts into results.
"""
