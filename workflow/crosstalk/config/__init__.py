"""Config: typed models of the files that a user edits, their loading, and the check at the door."""

from crosstalk.config.load import Config, load

__all__ = ["Config", "load"]
