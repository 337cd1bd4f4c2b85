"""The server: sockets, the tick, and the process around it."""
