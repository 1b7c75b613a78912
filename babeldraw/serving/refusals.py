"""What a request is answered that is not done: OpenAI's error objects."""

from typing import Any

INVALID = "invalid_request_error"
SERVER = "server_error"


class Refusal(Exception):
    """An answer that is no result.

    Attributes:
      status: of HTTP.
      message: one sentence: the cause, then what helps.
      kind, code, param: as in OpenAI's errors; `param` is the field that is to blame.
      retry_after: seconds, where trying again is of use.
      body: as JSON.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = INVALID,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after
        self.kind, self.code, self.param = kind, code, param

    @property
    def body(self) -> dict[str, Any]:
        error = {"message": self.message, "type": self.kind, "param": self.param}
        return {"error": error | {"code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Beside those of every answer."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


def busy(retry_after: int) -> Refusal:
    """The queue is full."""
    return Refusal(
        429,
        f"as many pictures wait as may; try again in {retry_after} s.",
        kind="rate_limit_error",
        code="rate_limit_exceeded",
        retry_after=retry_after,
    )


def late(seconds: float) -> Refusal:
    """A request was not done in its time."""
    return Refusal(
        504,
        f"the pictures were not drawn within {seconds:g} s; ask for fewer, or later.",
        kind=SERVER,
        code="timeout",
    )


def closing() -> Refusal:
    """The server ends."""
    return Refusal(503, "the server is ending; try again in a while.", kind=SERVER, retry_after=10)


def failed() -> Refusal:
    """An error of ours, of which only the log has more."""
    return Refusal(500, "the server failed at this; its log has the reason.", kind=SERVER)
