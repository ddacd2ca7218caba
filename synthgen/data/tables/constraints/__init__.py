"""What rows of a table must obey: kinds of constraints, how they are kept by construction, and how they are found."""
