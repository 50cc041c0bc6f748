"""From a command line to finished runs: identity, plan, execution, many at once."""
