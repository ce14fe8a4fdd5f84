"""The process that holds a stack's containers: forks them, keeps their output, waits for them. Stdlib only."""
