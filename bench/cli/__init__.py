"""The command line: options, commands, what is shown. The only room that ends the process."""
