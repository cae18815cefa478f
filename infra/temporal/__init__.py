"""A real Temporal server on PostgreSQL: built from its Go modules, its schemas set up, started and stopped."""
