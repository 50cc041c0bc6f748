"""One run: its parts, its budget, its folder and the session that trains it."""
