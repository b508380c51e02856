"""The command line ``hotpants-cy``: the flags of C HOTPANTS, and its files."""
