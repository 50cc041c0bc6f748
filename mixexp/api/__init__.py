"""mixexp from Python: the functions of `import mixexp`. Runs are the same as the command's, in the same folders."""
