"""A folder of recordings: how it is laid out, its index, and how it is read."""
