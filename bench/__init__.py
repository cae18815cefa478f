"""Load programs: what the gateway adds, how much it carries, and whether it grows. See README.md."""
