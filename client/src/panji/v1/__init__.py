"""Generated from ``protos/panji/v1`` by ``make protos``; never edited."""
