"""Exit codes of `babeldraw train` that launchers act on."""

USER_ERROR = 2
"""The recipe, the machine or the data is wrong, and one sentence says how."""

SAVED = 75
"""Stopped by SIGTERM after a checkpoint: start it again (EX_TEMPFAIL of sysexits.h)."""

INTERRUPTED = 130
"""By the keyboard."""
