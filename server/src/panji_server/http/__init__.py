"""The edge to the web: what anyone may read of the log, without being a participant."""
