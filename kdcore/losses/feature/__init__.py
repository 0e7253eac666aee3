"""Losses on what layers hold before the answer."""
