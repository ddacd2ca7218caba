"""Generative methods for images."""
