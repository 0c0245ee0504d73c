"""How a connection to PostgreSQL notices that the machine at its other end is gone."""

from typing import Any

# Such a machine says nothing at all: noticed within some 15 s instead of the system's quarter of an hour (something was sent)
# or two hours (it was waited for).
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
