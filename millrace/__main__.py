"""``python -m millrace`` is ``millrace``."""

from millrace.cli.main import main

main()
