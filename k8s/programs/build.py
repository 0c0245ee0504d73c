"""Builds a service's image: its closure, exactly the locked libraries of that closure, and nothing else.

The context is gathered here and the libraries are fetched here, by the lock's hashes and for the image's platform, so that a
build needs neither a compiler nor a network inside the container, and works the same with docker, podman and buildah.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from k8s.programs.environments import UnknownEnvironment, environment
from k8s.programs.images import CONTAINERFILE, Image, UnknownImage, find_image, wanted
from k8s.programs.pin import pin
from k8s.programs.registry_api import RegistryError
from runtime.closure import Checkout, ClosureError
from runtime.loader import LoadError
from runtime.services import ServiceError

# The oldest glibc that the base may have is older than any supported Debian's.
PLATFORM = "x86_64-manylinux_2_28"


class BuildError(Exception):
    """An image can't be built: the message says which step failed and why."""


def requirements(checkout: Checkout, image: Image) -> str:
    """The lines of the lock, hashes and all, for the libraries that the image holds."""
    return "\n".join(checkout.lock.pins[name] for name in image.libraries) + "\n"


def gather(checkout: Checkout, image: Image, folder: Path) -> None:
    """Fill an empty folder with the build's context: `app`, `lib`, `made` and the container file.

    Raises:
        BuildError: a library can't be fetched, or what is made for the image fails.
    """
    texts = {file: checkout.text(file) for file in image.files}
    for file in image.files:
        target = folder / "app" / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkout.root / file, target)
    # The tag was computed a moment ago: what it says must be what the image holds.
    read_again = Checkout(checkout.root)
    if changed := [file for file in image.files if read_again.text(file) != texts[file]]:
        raise BuildError(f"changed while the image was being built: {', '.join(changed)}")
    shutil.copyfile(checkout.root / CONTAINERFILE, folder / "Containerfile")
    (folder / "made").mkdir()
    if image.service and (made := checkout.made(image.service)):
        _run([sys.executable, "-m", made["module"], str(folder / "made")], cwd=checkout.root)
    (folder / "requirements.txt").write_text(requirements(checkout, image), encoding="utf-8")
    uv = Path(sys.executable).with_name("uv")
    _run(
        [
            str(uv if uv.exists() else "uv"),
            *("pip", "install", "--quiet", "--target", str(folder / "lib"), "--no-deps", "--require-hashes"),
            *("--only-binary", ":all:", "--python-platform", PLATFORM, "--python-version", checkout.image["python"]),
            *("-r", str(folder / "requirements.txt")),
        ]
    )
    _strip(folder / "lib")
    # The same modes whoever builds: the image's user owns nothing and reads everything.
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _strip(lib: Path) -> None:
    """Take out what no service loads. What the installer notes for itself differs from one checkout to the next.

    RECORD holds the hashes of scripts in `bin`, and their first line is the path of the Python that installed them.
    """
    for folder in [lib / "bin", *lib.glob("**/tests"), *lib.glob("**/__pycache__")]:
        shutil.rmtree(folder, ignore_errors=True)
    for note in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"):
        for file in lib.glob(f"*.dist-info/{note}"):
            file.unlink()
    (lib / ".lock").unlink(missing_ok=True)


def base_image(checkout: Checkout) -> str:
    """The base by its digest where image.toml has one."""
    digest = checkout.image["digest"]
    return f"{checkout.image['base']}@{digest}" if digest else checkout.image["base"]


def engine() -> str:
    """docker, podman or buildah: the first that is there and answers.

    Raises:
        BuildError: there is none.
    """
    for name in ("docker", "podman", "buildah"):
        if shutil.which(name) and subprocess.run([name, "info"], capture_output=True, check=False).returncode == 0:
            return name
    raise BuildError("none of docker, podman and buildah is here and answers; buildah needs no daemon")


def build(checkout: Checkout, image: Image, *, name: str, base: str, program: str | None = None) -> None:
    """Build one image under that name.

    Raises:
        BuildError: a step failed; what the program said is in the message.
    """
    program = program or engine()
    arguments = {
        "BASE": base,
        "SERVICE": image.target,
        "MODULE": image.module,
        "TAG": image.tag,
        "FUNCTIONS": json.dumps(image.record.functions, sort_keys=True, separators=(",", ":")),
    }
    with tempfile.TemporaryDirectory(prefix="eco2-build-") as temporary:
        folder = Path(temporary)
        gather(checkout, image, folder)
        words = [program, "build", "--file", str(folder / "Containerfile"), "--tag", name]
        # The same times in the layers whenever it is built.
        words += ["--timestamp", "0"] if program != "docker" else []
        words += [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
        _run([*words, str(folder)], env={"SOURCE_DATE_EPOCH": "0", "DOCKER_BUILDKIT": "1"})


def push(name: str, program: str) -> None:
    """Push an image to the registry that its name begins with."""
    _run([program, "push", name])


def _run(words: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(words, cwd=cwd, env=os.environ | (env or {}), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError(f"{words[0]} is not installed") from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-8:]
        raise BuildError(f"{' '.join(words[:3])} failed:\n" + "\n".join(f"    {line}" for line in said))
    return done.stdout


EXAMPLES = """\
eco2 build waste  # one image
eco2 build all --push  # all, into the environment's registry
eco2 build --pin  # the base and the images of others by digest, at their newest patch
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Build a service's image with docker, podman or buildah, whichever is here."
    parser.add_argument("service", nargs="*", help="services, `tools`, or `all`")
    parser.add_argument("--env", default="prod", help="the environment whose registry names the image (default: prod)")
    parser.add_argument("--push", action="store_true", help="push it to that registry")
    parser.add_argument("--base", help="another base image than k8s/image.toml names")
    parser.add_argument(
        "--pin", action="store_true", help="write the digests of the base (k8s/image.toml) and of others' images"
    )
    parser.add_argument("--context-only", type=Path, metavar="DIR", help="only gather one service's context there")


def main(args: argparse.Namespace) -> int:
    checkout = Checkout()
    try:
        if args.pin:
            for line in pin(checkout):
                print(line)
            checkout = Checkout()
        if args.push and not checkout.image["digest"] and not args.base:
            raise BuildError("the base image is not pinned: run `eco2 build --pin` and commit k8s/image.toml first")
        for image in _chosen(args.service, wanted(checkout)):
            if args.context_only:
                args.context_only.mkdir(parents=True)
                gather(checkout, image, args.context_only)
                continue
            name = environment(args.env, checkout.root).image(image.name, image.tag)
            program = engine()
            build(checkout, image, name=name, base=args.base or base_image(checkout), program=program)
            if args.push:
                push(name, program)
            print(name)
    except (
        BuildError,
        ClosureError,
        LoadError,
        RegistryError,
        UnknownImage,
        ServiceError,
        UnknownEnvironment,
        FileExistsError,
    ) as error:
        print(f"eco2 build: {error}", file=sys.stderr)
        return 1
    return 0


def _chosen(names: Iterable[str], images: list[Image]) -> list[Image]:
    return images if "all" in names else [find_image(name, images) for name in names]
