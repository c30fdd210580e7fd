# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes this room's tables in the province's database, also when several processes start at once."""

import time

from sqlalchemy import Engine, MetaData
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

ATTEMPTS = 20
PAUSE_SECONDS = 0.05


def create_tables(engine: Engine, metadata: MetaData) -> None:
    """Make the tables that are missing; whoever loses the race to make them looks again."""
    for left in reversed(range(ATTEMPTS)):
        try:
            metadata.create_all(engine)
            return
        except (OperationalError, ProgrammingError, IntegrityError):
            if not left:
                raise
            time.sleep(PAUSE_SECONDS)
