# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a business's records to a consortium's chain and evidence of them back to anybody.

Records are salted and signed in batches, batches become entries of an append-only log, checkpoints
of the log are anchored on the chain, and evidence is verified from its bytes alone. Import the
modules themselves: the formats and the verifier need neither a database nor a chain library, and
an import of everything here would bring in both.
"""
