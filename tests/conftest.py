"""For all tests: hypothesis measures no time. How long an example takes is the machine's affair, and the bench's."""

from hypothesis import settings

settings.register_profile("panji", deadline=None)
settings.load_profile("panji")
