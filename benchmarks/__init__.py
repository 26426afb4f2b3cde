"""Side by side with others: the same work, on the same machine, in turns; results are checked."""
