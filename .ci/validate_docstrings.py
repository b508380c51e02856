"""Hold the docstrings of the files of a folder against numpydoc's rules, those that pyproject.toml names."""
import subprocess
import sys
from pathlib import Path

MADE = 'setup_package.py', '_version.py'
files = [str(path) for path in sorted(Path(sys.argv[1]).rglob('*.py')) if path.name not in MADE]
sys.exit(subprocess.run([sys.executable, '-m', 'numpydoc', 'lint', *files]).returncode)
