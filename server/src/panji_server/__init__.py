"""The exchange: receives, checks, orders, stores and delivers statements. It can delay; it cannot forge or drop."""

__version__ = "0.1.0"
