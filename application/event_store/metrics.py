"""What a process counts of its appends, commands and read models, for Prometheus. Shown by `api/metrics.py`.

Labels are names of ours (a read model, a command, a code), so there are few; never an id, a text or a person.
"""

from prometheus_client import Counter, Gauge, Histogram

APPEND_QUEUE = Gauge("proteus_append_queue_commands", "Commands that wait to be appended.")
APPEND_BATCH = Histogram(
    "proteus_append_batch_commands",
    "Commands that shared one transaction.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
APPEND_SECONDS = Histogram(
    "proteus_append_seconds",
    "How long the transaction of a batch took, commit and all.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 10.0),
)
APPEND_RESENT = Counter("proteus_append_resent", "Batches that were sent again after a lost connection or a deadlock.")
LOST_RACES = Counter("proteus_command_lost_races", "Commands that lost a race for a stream, and were decided again.")

FOLDED_EVENTS = Counter("proteus_projection_events", "Events that were folded into a read model.", ["projection"])
FOLD_SECONDS = Histogram(
    "proteus_projection_fold_seconds",
    "How long a read model took to fold a batch, in memory.",
    ["projection"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0),
)
WRITE_SECONDS = Histogram(
    "proteus_projection_write_seconds",
    "How long it took to write a batch of all read models, commit and all.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0),
)
WEBHOOK_ATTEMPTS = Counter(
    "proteus_webhook_attempts", "Messages that were sent to webhooks: DELIVERED, or why not.", ["outcome"]
)
WEBHOOK_SECONDS = Histogram(
    "proteus_webhook_seconds",
    "How long the attempt to send a message took.",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0),
)
WEBHOOKS = Gauge("proteus_webhooks", "Endpoints, by how they are.", ["state"])

FOLD_FAILURES = Counter("proteus_projection_failures", "Batches that could not be folded or written.", ["projection"])

SEQUENCED_EVENTS = Counter("proteus_audit_events", "Events that were given their places in the logs of proofs.")
