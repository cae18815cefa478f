"""The one-command stack: real servers and a real model on this machine, started, watched and stopped together."""
