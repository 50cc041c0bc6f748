"""From a command line to finished runs: identity, plan, execution, many at once.

What is killed, and what the same command does then:

- the sweep, or a run without -m: its runs are unfinished, since a slot ends with its parent (worker.serve); each goes
  on from its checkpoint (Session.resume), or begins anew where it has none yet.
- one slot of a living sweep: its run is failed (slot.Slot), the others go on; it stays so until retry=failed, which
  goes on from the checkpoint.
- a machine: as the sweep; the locks of the runs are the system's and end with it.
"""
