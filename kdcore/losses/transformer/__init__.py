"""Losses on what happens inside a transformer: states, attention, relations between tokens."""
