"""Figures of merit: pure functions over real, held-out and synthetic data."""
