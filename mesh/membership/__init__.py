"""Who of a group has which partition: decided by each member for itself, from what all of them list."""
