"""The libraries that are compared: one file each, with a function for each kind of work it can do."""
