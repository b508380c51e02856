"""What pytest leaves alone here: scripts that the build of these pages runs, and what it makes."""

collect_ignore_glob = ['_build/*', '_ext/*', 'api/*', 'examples/*', 'gallery/*']
