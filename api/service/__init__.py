"""What the gateway does for its callers, knowing neither HTTP nor gRPC."""
