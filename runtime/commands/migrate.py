"""`eco2 migrate`: what `python -m runtime.migrate` does in the cluster, here for the running emulator too.

Apart from it, since an image that migrates has no emulator, and must not have one in its closure.
"""

import argparse
import os

from runtime import migrate
from runtime.commands.operator import owner_dsn

EXAMPLES = """\
eco2 migrate  # everything that is missing
eco2 migrate --phase before --wait 60  # what comes before a rollout; the database may be still starting
"""


def configure(parser: argparse.ArgumentParser) -> None:
    migrate.configure(parser)
    parser.description = (
        "Apply the migrations that MIGRATION_DB_URL's database, or the running emulator's, does not have yet."
    )


def main(args: argparse.Namespace) -> int:
    os.environ["MIGRATION_DB_URL"] = owner_dsn()
    return migrate.main(args)
