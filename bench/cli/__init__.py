"""The command line: options, subcommands and terminal output. The only package that ends the process."""
