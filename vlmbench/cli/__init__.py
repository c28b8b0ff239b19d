"""The command line: parses, calls, prints."""

from vlmbench.cli._app import main

__all__ = ["main"]
