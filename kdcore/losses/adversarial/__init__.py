"""Losses that another network decides: a critic that learns too, or an attack on the teacher."""
