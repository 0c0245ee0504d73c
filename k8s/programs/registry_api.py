"""Asks a registry, by its own HTTP API, for tags and digests: what `eco2 build --pin` needs, with no program installed.

The OCI distribution specification, and Docker's token authentication. Credentials are those of `docker login`, where they lie in
its file; public images need none.
"""

import hashlib
import json
import os
import re
from pathlib import Path
from urllib.parse import urlencode

import httpx
from msgspec import Struct

# An index names one image for each platform; a registry gives what is accepted, so the index comes first.
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
SECONDS = 20
MOST_PAGES = 200


class RegistryError(Exception):
    """A registry did not answer, or not with what was asked for: the message says which image, and what it said."""


class Name(Struct, frozen=True):
    """An image without its tag: `docker.io/valkey/valkey`."""

    host: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "Name":
        """Raises RegistryError: it does not begin with a registry's host."""
        host, _, path = text.partition("/")
        if not path or not re.search(r"[.:]", host):
            raise RegistryError(f"{text} should begin with its registry's host, as docker.io/library/postgres does")
        return cls(host, path)

    @property
    def address(self) -> str:
        """Where its registry answers: HTTPS, but for one on this machine."""
        host = "registry-1.docker.io" if self.host == "docker.io" else self.host
        scheme = "http" if host.partition(":")[0] in ("127.0.0.1", "localhost") else "https"
        return f"{scheme}://{host}/v2/{self.path}"


class Registry:
    """Answers about one image's repository."""

    def __init__(self, name: str) -> None:
        self.name = Name.parse(name)
        # Redirects lead to stores of other hosts; credentials are not sent on to them.
        self._client = httpx.Client(timeout=SECONDS, follow_redirects=True)
        self._authorization = ""

    def digest(self, tag: str) -> str:
        """The digest of what a tag names now, computed from the manifest itself.

        Raises:
            RegistryError: there is no such tag, or what came is not what the registry says it is.
        """
        answer = self._get(f"{self.name.address}/manifests/{tag}", ", ".join(MANIFESTS))
        found = f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
        said = answer.headers.get("Docker-Content-Digest", found)
        if said != found:
            raise RegistryError(f"{self._text}:{tag} came with the digest {found}, and its registry says {said}")
        return found

    def tags(self) -> list[str]:
        """All tags, page by page.

        Raises:
            RegistryError: the registry does not list them.
        """
        found: list[str] = []
        url = f"{self.name.address}/tags/list?n=1000"
        for _ in range(MOST_PAGES):
            answer = self._get(url, "application/json")
            found += answer.json().get("tags") or []
            if "next" not in answer.links:
                return found
            url = str(answer.url.join(answer.links["next"]["url"]))
        raise RegistryError(f"{self._text} has more than {MOST_PAGES} pages of tags")

    @property
    def _text(self) -> str:
        return f"{self.name.host}/{self.name.path}"

    def _get(self, url: str, accept: str) -> httpx.Response:
        answer = self._ask(url, {"Accept": accept, "Authorization": self._authorization})
        if answer.status_code == 401 and not self._authorization:
            self._log_in(answer.headers.get("WWW-Authenticate", ""))
            answer = self._ask(url, {"Accept": accept, "Authorization": self._authorization})
        if answer.is_error:
            raise RegistryError(f"{self._text}: {_said(answer)}")
        return answer

    def _ask(self, url: str, headers: dict[str, str]) -> httpx.Response:
        try:
            return self._client.get(url, headers={name: value for name, value in headers.items() if value})
        except httpx.HTTPError as error:
            raise RegistryError(f"{self._text}: {str(error) or type(error).__name__}") from None

    def _log_in(self, challenge: str) -> None:
        """What the registry asks for: our name and password, or a token that another server gives for them or for nothing."""
        basic = _credentials(self.name.host)
        login = f"Basic {basic}" if basic else ""
        given = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if "realm" not in given or not challenge.lower().startswith("bearer"):
            self._authorization = login
            return
        scope = {"service": given.get("service", ""), "scope": f"repository:{self.name.path}:pull"}
        answer = self._ask(f"{given['realm']}?{urlencode(scope)}", {"Authorization": login})
        if answer.is_error:
            raise RegistryError(f"{self._text}: no token from {given['realm']}: {_said(answer)}")
        found = answer.json()
        self._authorization = f"Bearer {found.get('token') or found.get('access_token')}"


def _credentials(host: str) -> str:
    """Name and password of a registry in base64, as `docker login` keeps them in its file; empty: none."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        auths = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("auths", {})
    except (OSError, ValueError):
        return ""
    keys = [host, f"https://{host}"] + (["https://index.docker.io/v1/"] if host == "docker.io" else [])
    text: str = next((auths[key].get("auth", "") for key in keys if key in auths), "")
    return text or ""


def _said(answer: httpx.Response) -> str:
    """A registry's own words for an error."""
    try:
        first = answer.json()["errors"][0]
        return f"{answer.status_code} {first['code']}: {first.get('message', '')}"
    except (ValueError, LookupError, TypeError):
        return f"{answer.status_code} {answer.reason_phrase}"
