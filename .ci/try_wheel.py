"""What a new user does first, with the package as it is installed; any warning is an error."""
import subprocess
import sys
import warnings
from pathlib import Path

warnings.simplefilter('error')

import hotpants_cy as hp  # noqa: E402  (its import must not warn either)
from hotpants_cy.datasets import make_pair  # noqa: E402


def command(*words):
    """Run the command line of this environment."""
    subprocess.run([Path(sys.executable).with_name('hotpants-cy'), *words], check=True)


hp.show_versions()
command('--version')
command('demo', 'demo', '--size', '300')
pair = make_pair((300, 300), seed=5)
pair.science.write('science.fits', overwrite=True)
pair.template.write('template.fits', overwrite=True)
command('-inim', 'science.fits', '-tmplim', 'template.fits', '-outim', 'difference.fits', '--auto', '--report',
        'page.html')
result = hp.subtract('science.fits', 'template.fits', config='auto')
print(result)
print(result.find_candidates())
result.report('again.html')
for name in ('demo/difference.fits', 'difference.fits', 'page.html', 'again.html'):
    if not Path(name).stat().st_size > 10_000:
        sys.exit(f'{name} is too small')
