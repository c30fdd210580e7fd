# SPDX-License-Identifier: GPL-3.0-or-later
"""What every contract test starts from: the contracts as genesis founds them, with one member."""

import pytest

from tests.contracts.evm import Evm
from tests.contracts.logs import OWNER


@pytest.fixture
def evm() -> Evm:
    return Evm([OWNER])
