# SPDX-License-Identifier: GPL-3.0-or-later
"""What libraries would calculate when imported is put off, and there when it is called."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.tools import ROOT

LOADED = "print(*(n for n in sys.modules if hasattr(sys.modules[n], 'exptable') or hasattr(sys.modules[n], 'miller_loop')))"
BILINEAR = """
from py_ecc.optimized_bls12_381 import G1, G2, double, pairing
print(pairing(double(G2), G1) == pairing(G2, double(G1)) != pairing(G2, G1))
"""


def said_by(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.parametrize("process", ["node.run", "node.call_worker", "anchor.run"])
def test_no_process_of_ours_makes_the_tables_of_a_curve_that_it_does_not_use(process: str) -> None:
    assert not [name for name in said_by(f"import sys, {process}; {LOADED}") if "bls12_381" in name]


def test_the_api_never_asks_the_chain_and_does_without_its_client() -> None:
    assert said_by("import sys, api.run; print('web3' in sys.modules)") == ["False"]


def test_a_pairing_that_is_called_is_the_library_s_own() -> None:
    assert said_by(f"import node; {BILINEAR}") == ["True"]
