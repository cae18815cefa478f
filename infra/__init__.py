"""Everything that runs the gateway but is not the gateway: the local stack, generated files, deployment."""
