"""How a finished job reaches its caller without being asked: one file a channel, known to its catalogue alone."""
