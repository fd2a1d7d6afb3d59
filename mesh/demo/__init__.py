"""`mesh demo`: a whole mesh of real processes on this machine, watched and summed up."""
