"""The command line, one file per noun. Nothing heavy is imported: every command pays for what this package imports."""
