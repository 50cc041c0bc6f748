"""A probe made of others."""

from __future__ import annotations

import pytest
from probes import csv_rows, measured, probe_of, refusals, subject_of
from running import trained

from mixexp.errors import UserError
from mixexp.plan.compose import compose
from mixexp.probe import Several
from mixexp.probe.embeddings import Features
from mixexp.probe.entanglement import Entanglement
from mixexp.probe.training_error import TrainingError


def test_it_finds_what_its_parts_find():
    subject = subject_of()
    both = probe_of("probe=robustness", "probe.fgsm.epsilon=[8]", "probe.deformation.zoom=[60]")
    found = measured(both, subject)
    assert list(found) == list(both.files) == ["fgsm", "deformation"]
    for name, probe in both.probes.items():
        assert measured(probe, subject)[name] == found[name]


def test_each_part_has_a_file_and_follows_the_evaluations(tmp_path):
    part = "{_target_: mixexp.probe.%s}"
    words = ["probe=entanglement", "+probe.more=" + part % "training_error.TrainingError"]
    assert "no such setting" in refusals(*words)[0], "a probe that is not made of others takes none"
    one = "{_target_: mixexp.probe.training_error.TrainingError, while_training: true}"
    probe = f"{{_target_: mixexp.probe.Several, one: {one}}}"
    record = trained(tmp_path, "++probe=" + probe)
    assert len({row["step"] for row in csv_rows(record.path / "probe_training_error.csv")}) == 2


def test_parts_have_to_be_probes_that_measure_at_the_same_times_into_files_of_their_own():
    early, late = Features(), TrainingError()
    with pytest.raises(ValueError, match="one would measure while training"):
        Several(one=early, two=late)
    with pytest.raises(ValueError, match="two of one, two write to the same file"):
        Several(one=Entanglement(1.0), two=Entanglement("minimum"))
    with pytest.raises(ValueError, match="names no probe"):
        Several()
    assert "makes no Probe" in refusals("probe=robustness", "+probe.more={_target_: mixexp.mix.mixes.NoMix}")[0]
    assert "probe.more = 3: needs a Probe: a mapping" in refusals("probe=robustness", "+probe.more=3")[0]
    assert "probe.fgsm.steps = 0" in refusals("probe=robustness", "probe.fgsm.steps=0")[0]
    assert "kind is table" in refusals("probe=robustness", "dataset=iris")[0]
    with pytest.raises(UserError, match="epsilom"):
        compose(["probe=robustness", "probe.fgsm.epsilom=0"])
