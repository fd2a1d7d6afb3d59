"""What this process takes of its machine.

Rules kept here: what a system does not tell is 0, which says that it is not known; children are not counted.
"""

import os
import time
from pathlib import Path

STATM = Path("/proc/self/statm")
RESIDENT = 1  # the field that counts the pages in memory


def cpu_s() -> float:
    """CPU seconds so far, user and system, of all threads."""
    return time.process_time()


def rss_bytes() -> int:
    """Memory that it has now; 0 where there is no /proc."""
    try:
        return int(STATM.read_text().split()[RESIDENT]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
