"""Faults injected for real: what is as it should be afterwards, and is anything left over?"""
