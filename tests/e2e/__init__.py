"""The running stack as its users meet it: one command, the real local model, and an upstream that plays scripts."""
