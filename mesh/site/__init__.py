"""A site in one file: what it says, the processes that follow from it, and keeping them running."""
