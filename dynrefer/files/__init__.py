"""Files as they come from people and programs, and files that are there whole or not at all."""
