"""One service for several stacks, with real traffic."""
