"""What must survive: the stories of requests, as Temporal workflows."""
