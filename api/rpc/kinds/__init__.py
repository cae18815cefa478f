"""The kinds of inference beside chat as typed messages: one file each, what is asked and what is answered."""
