"""One file per thing that the API shows."""
