"""The queue itself: jobs, tubes and sessions, with no sockets, files, clocks or randomness."""
