"""The report of a set of synthetic images."""
