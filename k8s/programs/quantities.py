"""Kubernetes' quantities as numbers."""


def mebibytes(quantity: str) -> float:
    """A quantity of memory or storage in MiB: `1Gi` is 1024."""
    return float(quantity[:-2]) * {"Ki": 1 / 1024, "Mi": 1, "Gi": 1024}[quantity[-2:]]


def cores(quantity: str) -> float:
    """A quantity of processors: `250m` is 0.25."""
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)
