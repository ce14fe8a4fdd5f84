"""Files and folders as tar streams, in and out, without ever leaving the folder that was meant.

The same code packs and unpacks on both sides of `cp`: on the host, and inside of a container's mount namespace, where
nothing of the host is to be found. Nothing is executed, no user or group is looked up by name (that would load
libraries of whoever owns the file system, CVE-2019-14271), no link is followed below the top, and every name is
resolved beneath a descriptor (openat2(2), RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS): whoever swaps a folder for a link
meanwhile gets an error.
"""
