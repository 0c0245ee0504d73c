"""What a service's containers find in their environment and among their files, by its service.toml."""

import tomllib
from pathlib import Path

import msgspec

from k8s.programs.templates import Document
from runtime.services import ROOT, Service, seconds
from shared.settings import Settings

SETTINGS = "eco2-settings"
JOURNAL = "/journal/worker.db"
AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def secret(variable: str, name: str, *, optional: bool = False) -> Document:
    """An environment variable from a Secret's key of the same name."""
    reference: Document = {"name": name, "key": variable}
    return {"name": variable, "valueFrom": {"secretKeyRef": reference | ({"optional": True} if optional else {})}}


def setting(variable: str) -> Document:
    """An environment variable from the overlay's settings."""
    return {"name": variable, "valueFrom": {"configMapKeyRef": {"name": SETTINGS, "key": variable}}}


def value(variable: str, text: object) -> Document:
    """An environment variable as it is."""
    return {"name": variable, "value": str(text)}


def object_store() -> list[Document]:
    """How to reach S3: with keys where there is a Secret, else by what the ServiceAccount was given (IRSA).

    A node's own rights are out of reach: the network policies close the instance metadata to every pod.
    """
    found = [setting(name) for name in ("S3_ENDPOINT_URL", "S3_BUCKET", "CDN_BASE_URL", "AWS_REGION")]
    return [*found, *(secret(name, "object-store", optional=True) for name in AWS_KEYS)]


def provider_settings() -> dict[str, str]:
    """What can be set about the provider of answers, with its defaults: models, prices, and what may be spent."""
    return {
        field.name.upper(): f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        for field in msgspec.structs.fields(Settings)
        if field.name.startswith(("openai_", "ai_")) and field.name not in ("openai_base_url", "openai_api_key")
    }


def own_settings(services: list[Service]) -> dict[str, str]:
    """The variables that services name as their own, with the defaults of `shared.settings`."""
    defaults = {field.name.upper(): field.default for field in msgspec.structs.fields(Settings)}
    return {name: str(defaults[name]) for service in services for name in service.settings}


def environment(service: Service) -> list[Document]:
    """The environment of a service's processes."""
    found = [secret(service.database.env, service.name)]
    found += [secret(f"{part.upper()}_REDIS_URL", service.name) for part in ("broker", "cache") if part in service.uses]
    found += object_store() if "objects" in service.uses else []
    found += [setting(name) for name in service.egress]
    found += [setting(name) for name in provider_settings() if service.egress]
    found += [setting(name) for name in service.settings]
    for variable in (*service.secrets.required, *service.secrets.optional):
        if variable.endswith("_FILE"):
            found.append(value(variable, f"{_secret_file(variable)[1]}/value"))
        else:
            found.append(secret(variable, service.name, optional=variable in service.secrets.optional))
    if service.calls:
        found.append(value("SERVICE_URLS", ",".join(f"{name}=http://{name}:8000" for name in service.calls)))
    if not service.is_worker:
        found += [value("AUTH_JWKS_FILE", "/keys/jwks/jwks.json"), value("PORT", 8000), setting("TRUSTED_HOPS")]
        found += [setting("CORS_ORIGINS"), setting("API_DOCS")]
    if service.journal:
        found.append(value("JOURNAL_PATH", JOURNAL))
        found.append(value("JOURNAL_SYNC_SECONDS", f"{seconds(service.journal.sync):g}"))
    return [*found, value("HOST", "0.0.0.0"), setting("LOG_FORMAT"), setting("LOG_LEVEL")]  # noqa: S104 - a pod's own


def worker_environment(service: Service) -> list[Document]:
    """The worker's alone: where the image holds what was made for it (the classifier), the folder with it."""
    return [*environment(service), *([value("MODEL_DIR", "/eco2/made")] if service.folder in made() else [])]


def copier_environment(service: Service) -> list[Document]:
    """That of the process that copies the journal to the object store: no address of a database or a broker."""
    own = {"JOURNAL_PATH", "HOST", "LOG_FORMAT", "LOG_LEVEL"}
    found = [entry for entry in environment(service) if entry["name"] in own]
    return [*found, *object_store(), setting("BACKUP_BUCKET")]


def made(root: Path = ROOT) -> dict[str, dict[str, str]]:
    """The services whose image holds what was made for it, in /eco2/made."""
    image = tomllib.loads((root / "k8s/image.toml").read_text(encoding="utf-8"))
    found: dict[str, dict[str, str]] = image.get("made", {})
    return found


def key_files(service: Service) -> tuple[list[Document], list[Document]]:
    """Volumes and mounts of the Secrets that a service reads as files."""
    volumes, mounts = [], []
    for variable in (*service.secrets.required, *service.secrets.optional):
        if variable.endswith("_FILE"):
            name, path = _secret_file(variable)
            optional = {"optional": True} if variable in service.secrets.optional else {}
            volumes.append({"name": name, "secret": {"secretName": name, "defaultMode": 0o440} | optional})
            mounts.append({"name": name, "mountPath": path, "readOnly": True})
    return volumes, mounts


def _secret_file(variable: str) -> tuple[str, str]:
    """The Secret of a variable that names a file, and where it is mounted: AUTH_SIGNING_KEY_FILE is `auth-signing-key`."""
    name = variable.removesuffix("_FILE").lower().replace("_", "-")
    return name, f"/keys/{name}"
