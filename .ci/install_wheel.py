"""Install the one wheel that a folder holds, with extras: ``install_wheel.py FOLDER EXTRAS``."""
import subprocess
import sys
from pathlib import Path

folder, extras = sys.argv[1:]
(wheel,) = Path(folder).glob('*.whl')
if '-abi3-' not in wheel.name:
    sys.exit(f'{wheel.name} serves one version of Python only: setup.cfg asks for abi3')
sys.exit(subprocess.run([sys.executable, '-m', 'pip', 'install', '--force-reinstall', f'{wheel}[{extras}]']).returncode)
