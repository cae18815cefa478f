"""The doors: REST and gRPC over one service."""
