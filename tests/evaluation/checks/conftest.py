"""The judge of the quickstart's occupations, fitted once, and their pictures."""

import pytest

from babeldraw.evaluation.checks.judge import Judge
from babeldraw.evaluation.checks.world import world


@pytest.fixture(scope="session")
def known():
    return world("quickstart")


@pytest.fixture(scope="session")
def judge(known):
    return Judge(known)
