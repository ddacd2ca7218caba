"""Generative methods for tables."""
