"""How the page looks: colours of light and dark, type, spacing."""

from babeldraw.training.watching.curves import COLOURS

LIGHT = {
    "page": "#fbfaf8",
    "card": "#ffffff",
    "alarm": "#8f1d14",
    "alarm-page": "#fdeeec",
    "link": "#17508f",
    **COLOURS,
}
DARK = {
    "page": "#14171c",
    "card": "#1c2027",
    "alarm": "#ffb3a8",
    "alarm-page": "#3a1d1b",
    "link": "#8cc2ff",
    "ink": "#e8eaed",
    "soft": "#a9b1bc",
    "rule": "#343a44",
    "c0": "#76b4ff",
    "c1": "#ffa05c",
    "c2": "#76d58a",
    "c3": "#a4adba",
    "c4": "#cda5ff",
    "c5": "#ff94c2",
    "c6": "#5cd3dc",
}
"""The same names for a dark page."""


def _variables(colours: dict[str, str]) -> str:
    return ";".join(f"--{name}:{colour}" for name, colour in colours.items())


STYLE = (
    f"""
:root {{ color-scheme: light dark; {_variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}
@media print {{ :root {{ {_variables(LIGHT)} }} }}
"""
    + """
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0 auto; max-width: 68rem; padding: 2.5rem clamp(1rem, 4vw, 2.5rem) 4rem;
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  color: var(--ink); background: var(--page) }
h1 { font-size: clamp(1.7rem, 5vw, 2.4rem); line-height: 1.15; letter-spacing: -.02em; margin: 0;
  overflow-wrap: anywhere }
h2 { font-size: 1.4rem; line-height: 1.25; letter-spacing: -.01em; margin: 3rem 0 .8rem;
  overflow-wrap: anywhere }
h3 { font-size: 1.1rem; margin: 2rem 0 .6rem; overflow-wrap: anywhere }
h4 { font-size: 1rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere }
p, ul { max-width: 44rem; margin: .5rem 0 } li { margin: .25rem 0 }
header p { font-size: 1.12rem; color: var(--soft) }
a { color: var(--link) } a:focus-visible, [tabindex]:focus-visible, summary:focus-visible {
  outline: 2px solid var(--link); outline-offset: 2px; border-radius: 4px }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; list-style: none; padding: 0;
  max-width: none; margin: 1rem 0 0; font-size: .95rem }
.small { font-size: .9rem; color: var(--soft) }
.findings { list-style: none; padding: 0; font-size: 1.08rem } .findings li { margin: .5rem 0 }
.alarms { list-style: none; margin: 1rem 0; padding: .8rem 1.1rem; border-radius: 10px;
  color: var(--alarm); background: var(--alarm-page); border-left: 4px solid var(--alarm) }
.gallery, .curves { list-style: none; padding: 0; margin: 1rem 0; max-width: none; display: grid;
  gap: 1rem }
.gallery { grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--wide, 17rem)), 1fr)) }
.curves { grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)) }
.gallery > li, .curves > li { margin: 0; background: var(--card); border: 1px solid var(--rule);
  border-radius: 12px; padding: .8rem; min-width: 0 }
figure { margin: 0 } figcaption { margin-top: .55rem; line-height: 1.35; overflow-wrap: anywhere }
img { max-width: 100%; height: auto }
.row { display: flex; gap: .5rem } .many { flex-wrap: wrap }
.row > div { flex: 0 1 auto; min-width: 0 }
.row img { display: block; border-radius: 6px; background: #fff }
img.crisp { image-rendering: pixelated }
.row span { display: block; margin-top: .25rem; font-size: .8rem; line-height: 1.25;
  color: var(--soft) }
.mark { display: block; margin-top: .3rem; font-size: .85rem; color: var(--alarm) }
.curve { display: block; width: 100%; height: auto; font-family: inherit }
.curves figcaption { margin: 0 0 .4rem; font-weight: 600; font-size: .95rem }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; list-style: none; padding: 0 }
.legend b { display: inline-block; width: 1.6em; height: .28em; border-radius: 2px;
  margin-right: .5em; vertical-align: .25em; background: currentColor }
.scroll { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse; font-size: .95rem; margin: .5rem 0 }
caption { text-align: left; color: var(--soft); padding-bottom: .3rem }
th, td { text-align: left; vertical-align: top; padding: .35rem 1.4rem .35rem 0;
  border-bottom: 1px solid var(--rule); font-variant-numeric: tabular-nums;
  overflow-wrap: break-word; min-width: 6.5rem }
thead th { color: var(--soft); font-weight: 600 } tbody th { font-weight: 500 }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .92em }
pre { max-width: 100%; overflow-x: auto; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; padding: .7rem .9rem; font-size: .88rem; line-height: 1.5;
  white-space: pre-wrap; overflow-wrap: anywhere }
details { margin: .8rem 0 } .curves details { margin: .3rem 0 0; font-size: .85rem }
summary { cursor: pointer; color: var(--link) }
"""
)
