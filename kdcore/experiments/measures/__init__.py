"""Measures beside the training of a named pair; experiments name them as text."""
