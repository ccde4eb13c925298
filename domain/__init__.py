"""What the business is: events, state, evolve, commands, decide, errors. Needs msgspec alone."""
