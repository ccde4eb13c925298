"""Traceability: commands to repositories, merge requests and links; scans of clones; links that follow from them."""

from application.traceability.commands import handle as handle
