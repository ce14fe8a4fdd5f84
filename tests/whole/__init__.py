"""The whole of orchestra, driven through its command line against the real kernel."""
