"""What to try after out of memory: one rule for the trainer, which knows, and for whoever finds a killed run."""

from __future__ import annotations


def smaller_batch(batch_size: int, accumulation: int, max_length: int, batch_tokens: int = 0) -> dict[str, int]:
    """The same effective batch in about half the memory, or, with single pairs already, half the length. Where batches
    are cut by tokens, half of these; and half the length, too, where one pair may have as many."""
    half, groups, length, tokens = batch_size, accumulation, max_length, batch_tokens // 2
    if batch_tokens:
        length = max_length if batch_tokens > 2 * max_length else max(8, max_length // 2)
    elif batch_size > 1:
        half = batch_size // 2
        groups = -(-batch_size * accumulation // half)
    else:
        length = max(8, max_length // 2)
    found = {"batch_size": half, "gradient_accumulation_steps": groups, "max_length": length}
    return {**found, "batch_tokens": tokens} if batch_tokens else found
