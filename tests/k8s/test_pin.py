"""`eco2 build --pin` asks registries by their own API: with tokens, pages, indexes and refusals, as the specification says."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from k8s.programs import pin
from k8s.programs.registry_api import MANIFESTS, Name, Registry, RegistryError
from runtime.services import ROOT

LOGIN = base64.b64encode(b"engineer:secret").decode()


class Images:
    """A registry that behaves: nothing without a token of its scope, pages of three tags, an index only for who accepts one."""

    def __init__(self, tags: list[str], *, private: bool = False, lies: bool = False) -> None:
        self.tags = sorted(tags)
        self.private = private
        self.lies = lies
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self.http.serve_forever, args=[0.05], daemon=True).start()
        self.host = f"127.0.0.1:{self.http.server_address[1]}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def manifest(self, path: str, tag: str) -> bytes:
        parts = [{"digest": f"sha256:{hashlib.sha256(tag.encode()).hexdigest()}", "size": 2, "mediaType": MANIFESTS[2]}]
        return json.dumps({"schemaVersion": 2, "mediaType": MANIFESTS[0], "name": path, "manifests": parts}).encode()

    def digest(self, path: str, tag: str) -> str:
        return f"sha256:{hashlib.sha256(self.manifest(path, tag)).hexdigest()}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                authorization = self.headers.get("Authorization", "")
                if parts.path == "/token":
                    if registry.private and authorization != f"Basic {LOGIN}":
                        self.refuse(401, "UNAUTHORIZED", "wrong name or password")
                    else:
                        self.answer(200, json.dumps({"token": f"for {query['scope']}"}).encode())
                    return
                if not (found := re.fullmatch(r"/v2/(.+)/(tags/list|manifests/(.+))", parts.path)):
                    self.refuse(404, "NAME_UNKNOWN", "repository name not known to registry")
                elif authorization != f"Bearer for repository:{found[1]}:pull":
                    realm = (
                        f'Bearer realm="http://{registry.host}/token",service="test",scope="repository:{found[1]}:pull"'
                    )
                    self.refuse(401, "UNAUTHORIZED", "authentication required", **{"WWW-Authenticate": realm})
                elif found[2] == "tags/list":
                    self.page(found[1], query.get("last", ""))
                else:
                    self.manifest(found[1], found[3])

            def page(self, path: str, last: str) -> None:
                rest = [tag for tag in registry.tags if tag > last]
                more = {"Link": f'</v2/{path}/tags/list?n=3&last={rest[2]}>; rel="next"'} if len(rest) > 3 else {}
                self.answer(200, json.dumps({"name": path, "tags": rest[:3]}).encode(), **more)

            def manifest(self, path: str, tag: str) -> None:
                if tag not in registry.tags or MANIFESTS[0] not in self.headers.get("Accept", ""):
                    self.refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
                    return
                said = "sha256:" + "0" * 64 if registry.lies else registry.digest(path, tag)
                body = registry.manifest(path, tag)
                self.answer(200, body, **{"Docker-Content-Digest": said, "Content-Type": MANIFESTS[0]})

            def refuse(self, status: int, code: str, message: str, **headers: str) -> None:
                self.answer(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(), **headers)

            def answer(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        return Handler


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Images]]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    made: list[Images] = []

    def start(*tags: str, private: bool = False, lies: bool = False) -> Images:
        made.append(Images(list(tags), private=private, lies=lies))
        return made[-1]

    yield start
    for images in made:
        images.close()


def test_a_digest_is_that_of_the_index_with_every_platform(serve: Callable[..., Images]) -> None:
    images = serve("18.6")
    assert Registry(f"{images.host}/library/postgres").digest("18.6") == images.digest("library/postgres", "18.6")


def test_all_pages_of_tags_are_read(serve: Callable[..., Images]) -> None:
    images = serve(*(f"1.{number:02}" for number in range(10)))
    assert Registry(f"{images.host}/a/b").tags() == images.tags


def test_a_private_registry_gets_what_docker_login_left(serve: Callable[..., Images], tmp_path: Path) -> None:
    images = serve("1.0", private=True)
    with pytest.raises(
        RegistryError, match=rf"^{images.host}/a/b: no token from .*401 UNAUTHORIZED: wrong name or password$"
    ):
        Registry(f"{images.host}/a/b").digest("1.0")
    (tmp_path / "config.json").write_text(json.dumps({"auths": {images.host: {"auth": LOGIN}}}))
    assert Registry(f"{images.host}/a/b").digest("1.0") == images.digest("a/b", "1.0")


def test_what_a_registry_refuses_is_said_in_its_words(serve: Callable[..., Images]) -> None:
    images = serve("1.0")
    with pytest.raises(RegistryError, match=r"/a/b: 404 MANIFEST_UNKNOWN: manifest unknown$"):
        Registry(f"{images.host}/a/b").digest("2.0")
    with pytest.raises(RegistryError, match=r"^127\.0\.0\.1:1/a: .*(refused|Connection)"):
        Registry("127.0.0.1:1/a").digest("1.0")
    with pytest.raises(RegistryError, match="should begin with its registry's host"):
        Registry("library/postgres")
    assert Name.parse("docker.io/library/postgres").address == "https://registry-1.docker.io/v2/library/postgres"


def test_a_manifest_that_is_not_what_its_registry_says_is_refused(serve: Callable[..., Images]) -> None:
    images = serve("1.0", lies=True)
    with pytest.raises(RegistryError, match=r"came with the digest sha256:.*, and its registry says sha256:000"):
        Registry(f"{images.host}/a/b").digest("1.0")


@pytest.mark.parametrize(
    ("tag", "others", "newest"),
    [
        (
            "18.6-bookworm",
            ["18.7-bookworm", "18.10-bookworm", "19.0-bookworm", "18.12-alpine", "18.13"],
            "18.10-bookworm",
        ),
        ("9.1.2", ["9.1.3", "9.2.0", "9.1.10-rc1", "v9.1.9"], "9.1.3"),
        ("v3.15.0", ["v3.15.2", "3.15.9", "v3.16.0"], "v3.15.2"),
        ("0.50.0-distroless-libc", ["0.50.1-distroless-libc", "0.50.2-alpine"], "0.50.1-distroless-libc"),
        ("13.2.3", ["13.2.1"], "13.2.3"),
        ("latest", ["1.0"], "latest"),
        ("18.6-bookworm", ["1899-bookworm", "18-7-bookworm"], "18.6-bookworm"),  # a day, and no version
    ],
)
def test_the_newest_patch_is_of_the_same_minor_and_variant(tag: str, others: list[str], newest: str) -> None:
    assert pin.newest(tag, others) == newest


def test_pinning_writes_what_kustomize_reads_and_keeps_it_at_the_next(
    serve: Callable[..., Images], checkout: Path, eco2: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    images = serve("3.11-slim-bookworm", "18.6-bookworm", "18.7-bookworm", "9.1.2", "1.0.0")
    base = checkout / "k8s/base/kustomization.yaml"
    text = base.read_text(encoding="utf-8")
    for name in ("docker.io/library/postgres", "docker.io/valkey/valkey"):
        text = text.replace(name, f"{images.host}/{name.partition('/')[2]}")
    kept = [line for line in text.splitlines() if "newTag" not in line or images.host in line]
    base.write_text("\n".join(kept) + "\n", encoding="utf-8")
    toml = checkout / "k8s/image.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("docker.io/", f"{images.host}/"), encoding="utf-8")
    shutil.rmtree(checkout / "k8s/components/logs")
    assert len(pin.unpinned(checkout)) == 2
    done = eco2("build", "--pin", DOCKER_CONFIG=str(tmp_path))
    assert done.returncode == 0, done.stderr
    postgres = images.digest("library/postgres", "18.7-bookworm")
    assert f"{images.host}/library/postgres:18.7-bookworm@{postgres} (was 18.6-bookworm)" in done.stdout
    assert f"newTag: 18.7-bookworm, digest: {postgres}}}" in base.read_text(encoding="utf-8")
    assert images.digest("library/python", "3.11-slim-bookworm") in toml.read_text(encoding="utf-8")
    assert pin.unpinned(checkout) == []
    again = eco2("build", "--pin", DOCKER_CONFIG=str(tmp_path))
    assert "was" not in again.stdout


def test_a_registry_that_is_away_leaves_the_files_as_they_are(
    serve: Callable[..., Images], checkout: Path, eco2: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    toml = checkout / "k8s/image.toml"
    toml.write_text(toml.read_text(encoding="utf-8").replace("docker.io/", "127.0.0.1:1/"), encoding="utf-8")
    before = {file: file.read_bytes() for file in [toml, *pin.kustomizations(checkout)]}
    done = eco2("build", "--pin")
    assert done.returncode == 1
    assert re.fullmatch(r"eco2 build: 127\.0\.0\.1:1/library/python: .*\n", done.stderr)
    assert {file: file.read_bytes() for file in before} == before


def test_every_image_of_others_is_one_that_pin_knows() -> None:
    """Each entry is in one line of the form that is rewritten; else it would stay behind without a word."""
    files = [f for f in (ROOT / "k8s").rglob("kustomization.yaml") if "newTag" in f.read_text(encoding="utf-8")]
    assert sorted(files) == pin.kustomizations()
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert len(re.findall("newTag", text)) == len(pin._ENTRY.findall(text)), file
