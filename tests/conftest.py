"""What holds for every test: hypothesis draws the same examples each time, and has no deadlines, because a
slow, shared machine is no fault."""

from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")
