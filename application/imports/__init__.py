"""Import of another system's history: a CSV file and its mapping become the events that commands would have made."""
