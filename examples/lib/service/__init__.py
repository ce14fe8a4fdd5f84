"""What the store's services share: a small JSON server, calls to peers, and one SQLite file each.

Nothing in here knows what a service is about. Standard library only, and only what is needed: every import
is paid for at each start.
"""
