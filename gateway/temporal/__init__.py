"""How the gateway speaks to Temporal: the client, what its payloads look like, its names."""
