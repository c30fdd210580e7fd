# SPDX-License-Identifier: GPL-3.0-or-later
"""Three commits to a SQLite database, for the test of the harness that kills at commits."""

import sqlalchemy as sa


def commit_three(path: str) -> None:
    """Insert three rows, each in a transaction of its own."""
    engine = sa.create_engine(f"sqlite:///{path}")
    for number in range(3):
        with engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE IF NOT EXISTS t (n INTEGER)"))
            connection.execute(sa.text("INSERT INTO t VALUES (:n)"), {"n": number})
    engine.dispose()


def fail() -> None:
    """Raise, as work does that meets a fault."""
    raise ValueError("meant to")
