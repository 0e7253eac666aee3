"""Losses that tell an example's own partner from the partners of others."""
