"""Configuration files read with the line of every fault."""
