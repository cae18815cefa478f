"""What dies, and what is left of the requests that it had: nothing lost, nothing paid twice, nothing told wrongly."""
