"""Publishing, whatever happens: random histories, on each of four kinds of store.

What the model once found has a test of its own in test_model_finds.py.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.histories import Publishing
from tests.histories import tools as tools  # a fixture

FEW, MANY = 125, 500  # histories of each of four kinds of store
STEPS = 24


class Versioned(Publishing):
    """A bucket that keeps versions: identical bytes put again are another version."""

    is_versioned = True


class WithoutGrace(Publishing):
    """What is replaced may go at once."""

    grace_seconds = 0


class VersionedWithoutGrace(Versioned, WithoutGrace):
    """Both."""


@pytest.mark.parametrize("histories", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", [Publishing, Versioned, WithoutGrace, VersionedWithoutGrace], ids=lambda kind: kind.__name__)
def test_whatever_happens_viewers_see_whole_pyramids_and_in_the_end_what_the_source_holds(kind: type[Publishing], histories: int) -> None:
    checks = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
    run = settings(max_examples=histories, stateful_step_count=STEPS, deadline=None, suppress_health_check=checks, database=None)
    run_state_machine_as_test(kind, settings=run)
