"""Losses on how things stand to each other: samples of a batch, channels of a layer, one layer and the next."""
