"""Losses on answers with a length: one distribution for every position of a sequence."""
