"""Traceability: which changes of code stand behind a ticket, and which ticket behind a change.

repositories: what a repository is; findings: what was found in it; requests: merge requests; references: what texts
name; links: what people say of a link.
"""
