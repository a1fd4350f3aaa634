"""The Slurm launcher. Nothing of it is loaded before a run, or a person, asks for it."""
