"""The door on NATS: a request that is published becomes a job."""
