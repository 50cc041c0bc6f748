"""Tables and figures from the folders that runs leave; reads files only and never imports torch.

A run folder holds ``config.yaml``, ``environment.json``, ``metrics.csv`` and, once it is over, ``result.json``.
``mixexp.training.reader`` turns each into a ``Run``, ``tables`` sorts runs into the cells of the table their
configuration describes, ``summary`` computes its statistics once, ``figures`` draws it, and ``write`` writes everything
into ``<directory>/report``. Nothing is dropped silently: a run that gives no number is listed with the reason.
"""
