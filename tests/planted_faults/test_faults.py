"""The list of planted faults fits the code as it stands."""

import pytest

from .fault import ROOT
from .faults import FAULTS

AREAS = ("losses", "masks", "counts", "negatives", "splits", "metrics", "export", "optimisers")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_fits_its_file_and_tests(fault):
    damaged = fault.damaged()  # fails unless the old text is there exactly once
    assert damaged != (ROOT / fault.file).read_text(encoding="utf-8")
    compile(damaged, fault.file, "exec")
    assert fault.likely
    for test in fault.likely:
        file, _, name = test.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not name or f"def {name.partition('[')[0]}(" in text


def test_names_differ_and_every_area_has_faults():
    names, areas = [fault.name for fault in FAULTS], {fault.area for fault in FAULTS}
    assert len(FAULTS) >= 40
    assert len(set(names)) == len(names)
    assert not areas & set(names)  # both choose faults on the command line
    assert set(AREAS) <= areas
