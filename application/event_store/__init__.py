"""The event store: how events are written, sealed, read and followed. Projections may import this package alone."""
