"""Schema packages and Leistungen: what a folder says, read, compiled and looked up."""
