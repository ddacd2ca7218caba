"""Synthetic images and tables by deep generative models."""
