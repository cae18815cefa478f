"""Clients that people use, unchanged but for their address and key, against the running stack."""
