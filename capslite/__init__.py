"""Capsule networks with every equation, forward and backward, written by hand in NumPy and CuPy."""

__version__ = "0.1.0"
