"""The real lifecycle, scheduler, pipeline and publisher in one thread at a time, under a virtual
clock, over SQLite and a local folder, with everything going wrong that Hypothesis can think of.

`actor` lets a piece of real code stand still at any failpoint, or die there; `world` holds the
database, the time and the people involved; `invariants` says what must be true between any two
steps; `test_simulation` is the state machine.
"""
