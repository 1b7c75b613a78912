"""The exceptions that are meant for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend. The message is one sentence: the cause, then the fix.

    The command line prints it without a traceback and exits with status 2.
    """


class Stopped(BaseException):
    """A run was told to stop (SIGTERM, Ctrl-C), has saved, and goes on when it is started again.

    No error, and so, like KeyboardInterrupt, no `Exception`: what handles failures lets it pass.

    The command line prints the message without a traceback and exits with status 75, which
    sysexits.h calls EX_TEMPFAIL: try again; with 130 where it was `by_keyboard`.
    """

    def __init__(self, message: str, *, by_keyboard: bool = False) -> None:
        super().__init__(message)
        self.by_keyboard = by_keyboard
