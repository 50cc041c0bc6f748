"""From a command line to finished runs: identity, plan, execution, many at once.

Effects of a kill, and of the same command afterwards:

- the sweep, or a run without -m: its runs are unfinished, since a slot ends with its parent (worker.serve); each
  continues from its checkpoint (Session.resume), or starts anew where it has none yet.
- one slot of a live sweep: its run is failed (slot.Slot), the others continue; it stays failed until retry=failed,
  which continues from the checkpoint.
- a machine: the same as the sweep; the locks of the runs belong to the system and end with it.
"""
