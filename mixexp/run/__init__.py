"""One run: its settings as objects, its folder, its session."""
