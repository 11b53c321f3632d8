"""Evidence bundles: one file that proves a case to people who have neither our code nor the exchange.

``bundle`` is the file, ``content`` what stands in it, ``verify`` what that proves, ``summary`` and ``by_hand`` what
people read, ``export`` how one is made. None opens a file or a socket. Everything in a bundle but a small core is
computed from that core, and verifying computes it again and compares byte for byte.
"""
