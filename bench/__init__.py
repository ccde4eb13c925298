"""How fast Proteus is, beside what it can be held against: `make bench`."""
