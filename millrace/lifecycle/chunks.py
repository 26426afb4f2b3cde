"""Verbs on chunks: what the holder of a lease may do, and who may become its holder.

Fencing makes all of this safe, not time: a lease that has run out is still good until the reaper
takes it away, and from then on its attempt and token fit nothing. Near the end of a job a slow
chunk may be leased twice, to its holder and to a twin: whichever of the two commits first wins.
"""

from __future__ import annotations

from millrace.lifecycle.calls import offer, ring_many, unring
from millrace.lifecycle.claims import claim, claim_many
from millrace.lifecycle.commits import commit, commit_many, settled
from millrace.lifecycle.crashes import crash, lapsed, reap, release_job, release_owned
from millrace.lifecycle.holding import refuse_model, release, release_many, renew, renew_many

__all__ = [
    "claim",
    "claim_many",
    "commit",
    "commit_many",
    "crash",
    "lapsed",
    "offer",
    "reap",
    "refuse_model",
    "release",
    "release_job",
    "release_many",
    "release_owned",
    "renew",
    "renew_many",
    "ring_many",
    "settled",
    "unring",
]
