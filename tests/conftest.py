"""What every test may use: the fixture `ceph`, a real object store; and how hypothesis looks for what is wrong."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest_plugins = ["tests.s3.ceph"]

# The same examples in every run: a red build is red again for whoever looks into it. No deadline for an example, for a
# busy machine is no bug. `pytest --hypothesis-profile=search` looks further, with other examples each time.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, max_examples=2_000, print_blob=True)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _quiet_afterwards() -> Iterator[None]:
    """A test of the command line sets logging up as a process of its own would; the next test is not to hear it."""
    loggers = (logging.getLogger(), logging.getLogger("holocron"))
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
