"""One program for each contestant, all with the same command line (see `arguments`)."""
