"""Logs from where they are: on the web, in a directory, at our exchange; for :mod:`panji.core.audit` to check."""
