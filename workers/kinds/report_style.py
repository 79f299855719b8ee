"""The report's style sheet: light and dark by the reader's setting, wide and narrow, no colour without a sign."""
# ruff: noqa: E501  # a style sheet: one rule per line reads best

# Colours: Okabe and Ito, "Color Universal Design" (2008), darkened or lightened for contrast of at least 4.5 with the ground.
CSS = """
:root { color-scheme: light dark;
  --ground: #fbfbf9; --sheet: #ffffff; --ink: #1c1d21; --soft: #5b5e66; --line: #dcdcd6; --bar: #0b6aa8; --bar2: #8a6100;
  --high: #a63a00; --medium: #8a6100; --low: #5b5e66; --link: #0b5a94;
  --r-public-domain: #56b4e9; --r-permissive: #0072b2; --r-weak-copyleft: #009e73; --r-strong-copyleft: #e69f00;
  --r-network-copyleft: #d55e00; --r-not-open-source: #cc79a7; --r-unclassified: #8c8c8c; --r-unknown: #3d3d3d; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #15161a; --sheet: #1d1f24; --ink: #ecece8; --soft: #a9acb5; --line: #363941; --bar: #5fb3ea; --bar2: #e0ac3a;
  --high: #ff9a66; --medium: #e7b84d; --low: #a9acb5; --link: #82c4f2; --r-unknown: #e0e0e0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.25rem; margin: 0; font-weight: 600; color: var(--soft); }
h2 { font-size: 1.3rem; margin: 3rem 0 .75rem; line-height: 1.25; }
h3 { font-size: 1rem; margin: 0; display: inline; }
p { margin: .4rem 0; max-width: 70ch; }
.headline { font-size: clamp(1.4rem, 1rem + 1.8vw, 2rem); line-height: 1.25; font-weight: 650; margin: .25rem 0 .75rem; max-width: 40ch;
  text-wrap: balance; }
.soft, small { color: var(--soft); }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, summary:focus-visible { outline: 3px solid var(--bar); outline-offset: 2px; border-radius: 3px; }
code { font: .86em/1.45 ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
nav { margin: 1rem 0 0; display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem; margin: 1.5rem 0 0; padding: 0; list-style: none; }
.tiles li { background: var(--sheet); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; }
.tiles b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .9rem; }
ul.plain { list-style: none; padding: 0; margin: 0; }
ul.plain > li { padding: .6rem 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
ul.plain > li:first-child { border-top: 0; }
.high { color: var(--high); } .medium { color: var(--medium); } .low { color: var(--low); }
.sign { font-weight: 700; white-space: nowrap; }
blockquote { margin: .3rem 0; padding: .2rem .7rem; border-left: 3px solid var(--line); }
.split { display: flex; height: 1.1rem; border-radius: 4px; overflow: hidden; margin: .5rem 0 1rem; gap: 2px; }
.split i { min-width: 4px; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .45em; vertical-align: -.05em; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 2.5rem; }
.bars { margin: 0; padding: 0; list-style: none; }
.bars li { display: grid; grid-template-columns: minmax(0, 1fr) auto; overflow-wrap: anywhere; gap: 0 1rem; padding: .3rem 0; font-variant-numeric: tabular-nums; }
.bars li > span + span { white-space: nowrap; }
.bars i { grid-column: 1 / -1; height: 5px; border-radius: 3px; background: var(--bar); min-width: 2px; }
.bars.time i { background: var(--bar2); }
table { border-collapse: collapse; width: 100%; font-size: .94rem; }
caption { text-align: left; color: var(--soft); padding: 0 0 .5rem; }
th, td { text-align: left; vertical-align: top; padding: .55rem .9rem .55rem 0; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { position: sticky; top: 0; background: var(--ground); border-top: 0; font-weight: 600; color: var(--soft); white-space: nowrap; }
.num { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr:target { background: color-mix(in srgb, var(--bar) 14%, transparent); }
td small, th small { display: block; font-weight: 400; color: var(--soft); }
th[scope=row] .soft { font-weight: 400; }
details { border-top: 1px solid var(--line); padding: .6rem 0; }
summary { cursor: pointer; }
details > ul { margin: .5rem 0 0; }
@media (max-width: 46rem) {
  main { padding: 1.25rem 1rem 3rem; }
  table.cards thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  table.cards, table.cards tbody, table.cards caption { display: block; }
  table.cards tr { display: grid; grid-template-columns: 1fr 1fr; gap: .1rem 1rem; padding: .8rem 0; border-top: 1px solid var(--line); }
  table.cards th, table.cards td { border: 0; padding: .15rem 0; text-align: left; white-space: normal; }
  table.cards th, table.cards .wide { grid-column: 1 / -1; }
  table.cards td::before { content: attr(data-label); display: block; font-size: .78rem; color: var(--soft); }
  table.cards td:empty { display: none; }
}
@media print { body { background: #fff; color: #000; } main { max-width: none; padding: 0; } thead th { position: static; } nav { display: none; } }
"""
