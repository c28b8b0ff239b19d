"""Measure how much of what its own vision encoder knows a vision-language model fails to use."""

__version__ = "0.1.0"
