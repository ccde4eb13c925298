"""Exports: the log in the formats of other tools. What an event is related to is said once, in `relations`."""
