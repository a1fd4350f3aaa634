"""Preference data, line by line and file against file: what is wrong with it, ranked by harm."""
