"""The workers do: they claim a chunk, compute it and commit it.

The worker process owns the lease, the heartbeat and the right to kill; it never touches a tensor.
Its compute child is spawned, holds the model, and streams read → prepare → batch → engine → write.
The two speak JSON (`order`). What a child leaves behind counts only once the worker has committed.
"""
