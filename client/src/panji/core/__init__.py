"""The pure core: keys, envelopes, the Merkle tree, signed notes, receipts and statements.

Nothing in here opens a socket, reads a file or looks at a clock. It needs the standard library and ``cryptography``.
"""
