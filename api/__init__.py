# SPDX-License-Identifier: GPL-3.0-or-later
"""What people and their systems touch: submission of signed batches, evidence, Digital Link pages, labels.

Rooms: `organisations` (who may submit), `index` (trace code → records), `app` (the ASGI application),
`run` (its process). Everything imports `anchor` and nothing else of Moneo.
"""
