# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that every test folder shares: long forms and containers run only when asked for."""

import pytest
from hypothesis import settings

# Nothing is timed in the tests: on a machine that does other work too, an example may take its time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long forms too")
    parser.addoption("--docker", action="store_true", help="run what needs a Docker engine too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what was not asked for, so that a skip always means a missing program and is counted as one."""
    unasked = [name for name in ("long", "docker") if not config.getoption(f"--{name}")]
    left = [item for item in items if any(item.get_closest_marker(name) for name in unasked)]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]
