"""Generative methods, one file each."""
