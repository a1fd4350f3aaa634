"""Every document that `--json` prints, declared once: mypy checks who makes one and who reads it, and `docs/schema` is
written from here (`docs/generate.py`). Types only, imported for types only: at run time they cost nothing.
"""
