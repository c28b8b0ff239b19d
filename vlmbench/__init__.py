"""Measure what a vision-language model loses of what its own vision encoder knows."""

__version__ = "0.1.0"
