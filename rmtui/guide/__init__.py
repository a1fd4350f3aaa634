"""The tuning guide as software: readings, advice, expectations, honest statistics.

Pure functions over facts (`records.facts`); files are opened by `rmtui.operations` alone.
"""
