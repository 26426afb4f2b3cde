"""The scheduler decides: it plans jobs into chunks, rings for workers, rescues and finishes.

Every long-lived part is one function ``tick(now) -> delay``; `runner` owns sleeping and shutdown.
It sends chunk ids and never rows, and losing any of its messages costs seconds at most.
"""
