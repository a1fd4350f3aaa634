"""The tuning guide as software: readings, advice, expectations, honest statistics.

Pure functions over facts (`rmtui.runs.model`); files are opened by `rmtui.operations` alone.
"""
