"""Pure values and decisions: standard library only, no clock, no dice, no input or output."""
