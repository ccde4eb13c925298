"""What the business is: events, state, evolve, commands, decide, errors. Standard library and msgspec only."""
