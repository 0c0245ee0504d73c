"""Where a sign-in may lead back to: the app's own addresses, by an allow-list; anything else would hand codes to strangers."""

from urllib.parse import SplitResult, unquote, urlencode, urlsplit

from shared.errors import BadInput
from shared.settings import Settings

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def check(return_to: str, settings: Settings) -> None:
    """Raises BadInput for an address that OAUTH_RETURN_TO does not hold."""
    if not any(_holds(entry.strip(), return_to) for entry in settings.oauth_return_to.split(",") if entry):
        raise BadInput("return_to", "is not among the addresses that this installation leads back to (OAUTH_RETURN_TO)")


def _holds(entry: str, return_to: str) -> bool:
    try:
        return _within(urlsplit(entry), urlsplit(return_to))
    except ValueError:  # one of the two is no address, such as https://host:*: another entry may be one
        return False


def _within(entry: SplitResult, wanted: SplitResult) -> bool:
    if wanted.username or wanted.password or wanted.fragment or "\\" in wanted.geturl():
        return False
    if (entry.scheme, entry.hostname) != (wanted.scheme, wanted.hostname):
        return False
    any_port = entry.netloc.endswith(":*") and entry.hostname in _LOOPBACK
    if not any_port and entry.port != wanted.port:
        return False
    path = wanted.path or "/"
    # To a browser %2e%2e are two dots as well.
    if {"..", "."} & set(unquote(path).split("/")):
        return False
    base = entry.path.rstrip("/")
    return path == base or path.startswith(f"{base}/")


def with_answer(return_to: str, **answer: str) -> str:
    """The address with the answer in its query."""
    parts = urlsplit(return_to)
    query = "&".join(part for part in (parts.query, urlencode(answer)) if part)
    return parts._replace(query=query).geturl()
