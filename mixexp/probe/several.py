from __future__ import annotations

from mixexp.probe import Facts, Probe, Rows, Subject, columns_of


class Several(Probe):
    """Several probes one after another, each under a name of its own; all at every evaluation or all at the end alone."""

    def __init__(self, **probes: Probe) -> None:
        if not probes:
            raise ValueError("probe: names no probe that it is made of")
        self.probes = probes
        self.files = {file: columns for probe in probes.values() for file, columns in columns_of(probe).items()}
        if len(self.files) < sum(len(probe.files) for probe in probes.values()):
            raise ValueError(f"probe: two of {', '.join(probes)} write to the same file")
        if len({probe.while_training for probe in probes.values()}) > 1:
            early = [name for name, probe in probes.items() if probe.while_training]
            raise ValueError(f"probe: {', '.join(early)} would measure while training, the others at the end; set while_training alike")
        self.while_training = any(probe.while_training for probe in probes.values())
        self.others = tuple(folder for probe in probes.values() for folder in probe.others)

    def check(self, facts: Facts) -> None:
        for probe in self.probes.values():
            probe.check(facts)

    def measure(self, subject: Subject) -> dict[str, Rows]:
        return {name: rows for probe in self.probes.values() for name, rows in probe.measure(subject).items()}
