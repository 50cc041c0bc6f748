"""From the words of a command to runs that may start: composed, resolved, checked, each with its identity and cost."""
