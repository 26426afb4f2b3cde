"""What happens to jobs and chunks, and the only place that may write it down.

`transitions` is the table of allowed moves. Each verb (of `jobs`, `chunks`, `workers`,
`leadership`) is one function: it takes a connection inside an open write transaction, makes its
move by a guarded UPDATE whose row count is checked, and records one event per job or chunk. `now`,
where given, stands in for the database's clock. `queries` only reads. A worker proves its authority
over a chunk with its `Lease`: every write of its names the attempt and the token, and a `LeaseLost`
tells it to drop the work quietly.

Locks are always taken in the order job, then chunks by number, then tally.
"""
