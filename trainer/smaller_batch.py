"""What to try after out of memory: one rule for the trainer, which knows, and for whoever finds a killed run."""

from __future__ import annotations


def smaller_batch(batch_size: int, accumulation: int, max_length: int) -> dict[str, int]:
    """The same effective batch in about half the memory, or, with single pairs already, half the length."""
    if batch_size > 1:
        half = batch_size // 2
        values = (half, -(-batch_size * accumulation // half), max_length)
    else:
        values = (1, accumulation, max(8, max_length // 2))
    return dict(zip(("batch_size", "gradient_accumulation_steps", "max_length"), values, strict=True))
