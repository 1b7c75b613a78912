"""The one exception that is meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend. The message is one sentence: the cause, then the fix.

    The command line prints it without a traceback and exits with status 2.
    """
