"""Messages to values and back: the one place where protobuf is touched.

Nothing outside this package reads or builds a message's fields, except the rpc method's own request and response frame.
"""
