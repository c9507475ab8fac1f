"""The command line ``nahtlos``: one module per noun. Exit: 0 ok, 1 partial or faults found, 2 usage, 3 unreachable."""
