"""The command line: Typer commands, and `local.py`, which runs the whole system on one machine.

Each command imports what it needs when it runs, so that ``millrace --help`` stays quick.
"""
