"""What holds for every test.

Hypothesis draws the same examples each time and has no deadlines, because a slow, shared machine is no fault.
Ctrl-C reaches the processes that tests start, also where the suite itself runs in the background: a shell has
SIGINT ignored there, and children inherit that.
"""

import signal

from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")
signal.signal(signal.SIGINT, signal.default_int_handler)
