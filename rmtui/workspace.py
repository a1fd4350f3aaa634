"""The folder of a person's work."""
