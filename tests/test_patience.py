"""How often a store that fails is tried again: a few times if it fails at once, less often if each failure takes its time."""

import time

import pytest

from lambdazoom.model.errors import AccessDenied, StorageError
from lambdazoom.publishing import patience
from lambdazoom.publishing.patience import FAILURES, Patience
from lambdazoom.publishing.workspace import Workspace


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "LAST_SECONDS", 0.001)


def failures(error: StorageError, workspace: Workspace, seconds: float) -> int:
    """How many failures, each of which takes so long, are borne until the error is raised."""
    patient = Patience("cat.jpg", workspace)
    for count in range(1, 100):
        time.sleep(seconds)
        try:
            patient.failed(error)
        except StorageError:
            return count
    raise AssertionError("it is tried for ever")


def test_what_may_pass_is_tried_a_few_times(workspace: Workspace) -> None:
    assert failures(StorageError("No answer."), workspace, seconds=0) == FAILURES


def test_a_store_that_takes_its_time_to_fail_is_given_up_sooner(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FAILING_SECONDS", 0.3)
    assert failures(StorageError("No answer."), workspace, seconds=0.2) == 3


def test_what_has_gone_well_since_an_early_failure_is_not_held_against_a_later_one(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "FAILING_SECONDS", 0.1)
    patient = Patience("cat.jpg", workspace)
    patient.failed(StorageError("No answer."))
    patient.went_well()
    time.sleep(0.2)  # of good work
    patient.failed(StorageError("No answer."))


def test_a_refusal_is_raised_at_once(workspace: Workspace) -> None:
    assert failures(AccessDenied("You may not."), workspace, seconds=0) == 1
