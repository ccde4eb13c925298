"""Attached files: their contents on disk, the commands, the sweep."""
