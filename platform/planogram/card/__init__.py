"""The report of a bundle: what it is, how good, for whom, and where it is wrong."""
