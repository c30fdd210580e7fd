# SPDX-License-Identifier: GPL-3.0-or-later
"""Becomes another program that dies with its parent: `tether.py PARENT-PID PROGRAM ARGUMENT…`.

CometBFT alone would wait for its application for ever, and after some of its crashes would ask the
next one for a step that it knows nothing of. prctl(2), PR_SET_PDEATHSIG, which execve(2) keeps.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have gone before it was asked.
    if os.getppid() == int(sys.argv[1]):
        os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - a program and its arguments, no shell
