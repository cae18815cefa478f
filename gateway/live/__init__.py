"""What happens at this moment: counted in each process, exchanged between all, and given to decisions as facts."""
