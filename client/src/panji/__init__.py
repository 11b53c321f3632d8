"""Panji: a channel between authorities and platforms in which nothing is lost, unseen, forged or deniable."""

__version__ = "0.1.0"
