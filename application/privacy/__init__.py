"""What is about the privacy of people: erasing them, and who read what."""
