"""The edge to gRPC: every service is a thin translation to and from :class:`panji_server.exchange.Exchange`."""
