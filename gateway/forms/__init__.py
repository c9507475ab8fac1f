"""Portal forms: their values read, and turned into the service's own message by a field table or XSLT."""
