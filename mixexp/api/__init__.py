"""mixexp from Python: what `import mixexp` offers. Runs are the same as those of the command, in the same folders."""
