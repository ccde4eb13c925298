"""How long the faults go on: a few rounds by default, more by PROTEUS_FAULT_ROUNDS."""

import os

ROUNDS = int(os.environ.get("PROTEUS_FAULT_ROUNDS", "2"))
WAIT = 60
"""Seconds after which a test gives up rather than hang; none is measured against them."""
