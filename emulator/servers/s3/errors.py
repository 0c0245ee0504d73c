"""What S3 answers when it refuses."""


class S3Error(Exception):
    """An answer of S3: code, message, HTTP status, and further elements of its XML."""

    def __init__(self, status: int, code: str, message: str, **extra: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.extra = status, code, message, extra


def denied(message: str = "Access Denied", **extra: str) -> S3Error:
    return S3Error(403, "AccessDenied", message, **extra)
