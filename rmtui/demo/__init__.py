"""The demo's own texts: topics, and the pairs of helpful and unhelpful answers made from them."""
