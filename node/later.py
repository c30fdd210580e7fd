# SPDX-License-Identifier: GPL-3.0-or-later
"""So that no process of ours waits for curves that it never calculates upon.

py-evm and eth-account bring BLS12-381 with them, for forks of Ethereum and kinds of keystores that are
not here. py_ecc makes tables for its pairings when it is imported, which takes most of a second, in
every node, worker and anchor process. Their modules are put off until a function of theirs is called.
"""

from __future__ import annotations

import importlib
import sys
from functools import partial
from types import ModuleType
from typing import Any, Final

_PAIRINGS: Final = (
    "py_ecc.bls12_381.bls12_381_pairing",
    "py_ecc.optimized_bls12_381.optimized_pairing",
)
# What the packages around them take from them.
_FUNCTIONS: Final = ("final_exponentiate", "pairing")


class _PutOff(ModuleType):
    """Stands where a module will be."""


def put_off() -> None:
    """Put off what has not been imported yet."""
    for name in _PAIRINGS:
        if name not in sys.modules:
            module = sys.modules[name] = _PutOff(name)
            for function in _FUNCTIONS:
                setattr(module, function, partial(_call, name, function))


def _call(name: str, function: str, *arguments: Any) -> Any:
    if isinstance(sys.modules.get(name), _PutOff):
        del sys.modules[name]
    return getattr(importlib.import_module(name), function)(*arguments)
