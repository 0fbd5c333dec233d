"""One file per noun. Each function is one command; its docstring is its help."""
