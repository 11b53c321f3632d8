"""Storage: one contract (:mod:`~panji_server.storage.base`), one module a backend."""
