"""Held-out evaluation: sampling, judging, and what is reported from it."""
