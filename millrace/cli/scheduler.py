"""``millrace scheduler``: plans, dispatches, rescues and finishes; any number may run."""

from __future__ import annotations


def scheduler() -> int:
    """Plan jobs and hand out their chunks; any number may run.

    Of several schedulers one leads and the others stand by. SIGTERM (or Ctrl-C) ends it after
    the tick that runs and hands the lead over.
    """
    from millrace.cli.interruption import interruptible
    from millrace.cli.service import service

    with service("scheduler", "leader_seconds") as settings, interruptible() as stop:
        from scheduler.service import serve

        serve(settings, stop)
    return 0
