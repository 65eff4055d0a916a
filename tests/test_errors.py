"""Errors: all faults, place, remedy, and what the first lines show."""

import pytest

from bayesdyn.errors import ArtefactError, BayesdynError, Fault, FaultList, InputError


def test_a_fault_reads_place_then_fault_then_remedy():
    assert str(Fault("it is empty", "Fill it", "a.csv")) == "a.csv: it is empty. Fill it"
    assert str(Fault("it is empty")) == "it is empty"


def test_faults_are_gathered_and_raised_once():
    faults = FaultList()
    faults.raise_if_any("No faults, no error")
    faults.add("one", "mend one", "here")
    faults.add("two")
    with pytest.raises(ArtefactError) as caught:
        faults.raise_if_any("Cannot", ArtefactError)
    assert str(caught.value) == "Cannot\n  - here: one. mend one\n  - two"
    assert [fault.what for fault in caught.value.faults] == ["one", "two"]


def test_many_faults_are_counted_after_the_first_twenty():
    error = InputError("Cannot", [Fault(f"fault {i}") for i in range(23)])
    assert "fault 19" in str(error)
    assert "fault 20" not in str(error)
    assert str(error).endswith("and 3 more of this input")
    assert len(error.faults) == 23


def test_every_error_of_the_users_is_one_family():
    assert issubclass(InputError, BayesdynError)
    assert issubclass(InputError, ValueError)
    assert issubclass(ArtefactError, BayesdynError)
