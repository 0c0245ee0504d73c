"""The jobs of a deploy: roles and schemas for each new image of the tools, migrations for each new image of a service."""

from k8s.programs.images import Image
from k8s.programs.templates import Document, fill_one
from runtime.services import OWNER, load_services


def prepare_job(image: str, tag: str) -> Document:
    """Makes roles, database, schemas and rights; `image` with registry and tag."""
    roles = [OWNER, *sorted({service.database.role for service in load_services().values()})]
    passwords = [
        {"name": f"PASSWORD_{role.upper()}", "valueFrom": {"secretKeyRef": {"name": "role-passwords", "key": role}}}
        for role in roles
    ]
    return fill_one("prepare", image=image, tag=tag, passwords=passwords)


def migration_job(image: Image, full_name: str, phase: str) -> Document:
    """Applies what an image brings for its schema, "before" its pods run or "after"."""
    assert image.service is not None
    words = {"short": image.service.short, "service": image.name, "tag": image.tag, "phase": phase}
    return fill_one("migrate", image=full_name, **words)
