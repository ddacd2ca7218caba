"""The report of a synthetic table."""
