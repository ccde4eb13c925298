"""Proofs that the log was not changed: one transparency log per workspace, as C2SP tlog describes them."""
