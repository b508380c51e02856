"""Frame of the page that `hotpants_cy.inspection.report` fills; text and background differ by 4.5 to 1 or more."""

from string import Template

__all__ = ['PAGE']

PAGE = Template('''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Subtraction: $verdict ($summary)</title>
<style>
:root { color-scheme: light dark; --page: #fff; --text: #1c2126; --soft: #48525c; --line: #ccd3da; --card: #f3f5f7;
  --link: #004b91; --good: #00563b; --usable: #744300; --bad: #98121f }
@media (prefers-color-scheme: dark) { :root { --page: #14181c; --text: #e8ecf0; --soft: #b4bec8; --line: #3b444d;
  --card: #1e242a; --link: #8cc4ff; --good: #6edcaa; --usable: #ffc46b; --bad: #ff9d9d } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text); font: 1rem/1.5 system-ui, sans-serif }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1.5rem 0 0.25rem }
h2 { font-size: 1.3rem; margin: 2.5rem 0 0.75rem; padding-bottom: 0.25rem; border-bottom: 1px solid var(--line) }
h3 { font-size: 1.05rem; margin: 1.75rem 0 0.5rem }
a { color: var(--link) }
a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
.skip { position: absolute; left: -100rem; padding: 0.5rem 1rem; background: var(--card) }
.skip:focus { left: 0.5rem; top: 0.5rem }
nav ul { display: flex; flex-wrap: wrap; gap: 0 1rem; padding: 0; margin: 0.75rem 0; list-style: none }
nav a { display: inline-block; padding: 0.6rem 0 }
.verdict { margin: 1.5rem 0; padding: 0.75rem 1.25rem; background: var(--card); border-radius: 0.3rem;
  border-left: 0.5rem solid var(--$verdict); overflow-wrap: anywhere }
.verdict h2 { margin: 0; border: 0 }
.verdict ul { margin: 0.5rem 0; padding-left: 1.2rem }
.grade { white-space: nowrap; font-weight: 600 }
.good { color: var(--good) } .usable { color: var(--usable) } .bad { color: var(--bad) }
figure { margin: 0 }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; background: #fff; border-radius: 0.3rem }
figcaption, caption, .soft { color: var(--soft); font-size: 0.95rem }
figcaption { margin-top: 0.5rem }
.scroll { overflow-x: auto; max-width: 100%; margin: 0.75rem 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
caption { text-align: left; padding-bottom: 0.25rem }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 1.25rem 0.3rem 0; border-bottom: 1px solid var(--line) }
tbody th { font-weight: 400 }
summary { cursor: pointer; padding: 0.6rem 0; color: var(--link) }
pre { margin: 0; font: 0.85rem/1.35 ui-monospace, monospace }
footer { padding-top: 2rem; padding-bottom: 2rem }
@media (prefers-color-scheme: dark) { img { filter: brightness(0.9) } }
@media (max-width: 32rem) { table { font-size: 0.93rem } th, td { padding-right: 0.6rem } }
@media print { nav, .skip { display: none } }
</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<h1>Image subtraction</h1>
<p class="soft">$summary</p>
<nav aria-label="Sections"><ul>
<li><a href="#pictures">Pictures</a></li>
<li><a href="#measures">Measures</a></li>
<li><a href="#parameters">Parameters</a></li>
<li><a href="#stars">Stars</a></li>
<li><a href="#header">Header</a></li>
</ul></nav>
</header>
<main id="main" tabindex="-1">
<section class="verdict" aria-labelledby="verdict">
<h2 id="verdict">Verdict: <span class="grade $verdict"><span aria-hidden="true">$mark</span> $verdict</span></h2>
$reasons
</section>
<section aria-labelledby="pictures">
<h2 id="pictures">Pictures</h2>
$pictures
</section>
<section aria-labelledby="measures">
<h2 id="measures">Measures</h2>
$measures
</section>
<section aria-labelledby="parameters">
<h2 id="parameters">Parameters</h2>
$parameters
</section>
<section aria-labelledby="stars">
<h2 id="stars">Stars</h2>
$stars
</section>
<section aria-labelledby="header">
<h2 id="header">Header</h2>
<details><summary>Header of the difference</summary>
<div class="scroll" role="region" aria-label="Header of the difference" tabindex="0"><pre>$header</pre></div>
</details>
</section>
</main>
<footer class="soft">hotpants_cy $version</footer>
</body>
</html>
''')
