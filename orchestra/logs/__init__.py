"""A container's log on disk: raw output in blocks beside a sparse index of times, rotated, read back in blocks."""
