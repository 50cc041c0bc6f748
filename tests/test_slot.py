"""The processes that a sweep's runs are trained in."""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection

import pytest
import yaml

from mixexp.settings import CONF
from mixexp.sweeping import slot


def say_what_is_imported(pipe: Connection) -> None:
    pipe.send(sorted(sys.modules))


@pytest.mark.skipif(sys.platform != "linux", reason="there is a fork server on Linux alone")
def test_a_slot_has_all_option_modules_from_when_the_sweep_began() -> None:
    """A slot may begin days later: what it imported only then could be other code than the code hash says."""
    slot.warm_up(threads=1)
    ours, theirs = slot._CONTEXT.Pipe()
    process = slot._CONTEXT.Process(target=say_what_is_imported, args=(theirs,))
    process.start()
    imported = set(ours.recv())
    process.join()
    options = [yaml.safe_load(path.read_text()) for path in CONF.glob("*/*.yaml")]
    targets = {option["_target_"] for option in options if "_target_" in option}
    assert len(targets) > 50
    assert not {target for target in targets if target.rpartition(".")[0] not in imported}
