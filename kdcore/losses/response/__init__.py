"""Losses on a network's final answer."""
