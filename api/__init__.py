"""The API shows: it takes jobs in and tells how far they are. It decides and computes nothing."""
