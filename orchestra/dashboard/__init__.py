"""The dashboard: a web page over all stacks of a home, and its server; a client of each stack's API."""
