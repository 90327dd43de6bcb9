"""Draw what channels.py, messages.py, sharing.py or extensions.py measured.

    python plot.py [FILE] [--only NAME,...] [--output IMAGE]

FILE is what one of them wrote, by default benchmarks/results/channels.json.
IMAGE is an .svg or .png, by default beside FILE.  Each measurement becomes a
chart: a point for the median of each contender, a line for the range of its
rounds, on a logarithmic scale.  Needs matplotlib.
"""

import argparse
import json
import sys
from pathlib import Path

from measure import figures, report

RESULTS = Path(__file__).resolve().parent / 'results' / 'channels.json'
OURS, PEER = '#0b7285', '#868e96'
COLUMNS = 2
WIDTH = 7.5             # inches of a chart
ROW = 0.24              # inches of a contender
MARGIN = 0.95           # inches above and below the rows of a chart


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('file', nargs='?', type=Path, default=RESULTS)
    parser.add_argument('--only', metavar='NAME,...', help='only these measurements')
    parser.add_argument('--output', type=Path, metavar='IMAGE')
    args = parser.parse_args()
    try:
        args.content = json.loads(args.file.read_text())
    except (OSError, ValueError) as exc:
        parser.error(f'{args.file.name} cannot be read: {exc.__class__.__name__}')
    if args.content.get('format') != report.FORMAT:
        parser.error(f'{args.file.name} is not of format {report.FORMAT}')
    args.output = args.output or args.file.with_suffix('.svg')
    return args


def measured(content, names):
    """The measurements that have samples, {name: measurement}, in the file's order."""
    return {name: measurement for name, measurement in content['measurements'].items()
            if (names is None or name in names) and chart_rows(measurement)}


def chart_rows(measurement):
    """A (label, whether it is ours, Summary) for each contender that has samples."""
    return [(label, label in measurement['ours'], figures.summary(contender['rounds']))
            for label, contender in measurement['contenders'].items() if contender['rounds']]


def draw_chart(axes, measurement, ticker):
    """Draw one measurement, the first contender on top."""
    rows = chart_rows(measurement)
    for place, (_, ours, result) in enumerate(rows):
        color = OURS if ours else PEER
        axes.plot([result.low, result.high], [place, place], color=color, linewidth=2)
        axes.plot([result.median], [place], 'o', color=color, markersize=6)
        axes.annotate(figures.short(result.median), (result.high, place), xytext=(6, 0),
                      textcoords='offset points', va='center', fontsize=7, color=color)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale('log')
    axes.margins(x=0.15)
    narrow = max(row[2].high for row in rows) < 1000 * min(row[2].low for row in rows)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=9))
    axes.xaxis.set_major_formatter(lambda value, _: f'{value:,.10g}')
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.tick_params(axis='x', labelsize=7)
    axes.grid(axis='y', color='#e9ecef')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    axes.set_title(measurement['title'], fontsize=9, loc='left')
    axes.set_xlabel(f'{measurement["unit"]}, {measurement["better"]} is better', fontsize=7)


def footnote(content):
    """Where and when this was measured, in a line."""
    machine, options = content['machine'], content['options']
    return (f'{machine["processor"] or machine["architecture"]}, {machine["usable_processors"]} '
            f'processors, {machine["system"]} {machine["release"]}; '
            f'Python {content["python"]["version"].split()[0]}; '
            f'{content["date"][:10]}, rounds: {options["rounds"]}'
            + (', --quick: a trial run' if options['quick'] else ''))


def draw(pyplot, ticker, content, measurements):
    """Return a figure with all charts, in columns from left to right."""
    grid = [list(measurements.values())[i:i + COLUMNS]
            for i in range(0, len(measurements), COLUMNS)]
    heights = [MARGIN + ROW * max(map(len, map(chart_rows, row))) for row in grid]
    figure, axes = pyplot.subplots(
        len(grid), COLUMNS, squeeze=False, layout='constrained',
        figsize=(WIDTH * COLUMNS, sum(heights)), height_ratios=heights)
    for row, row_axes in zip(grid, axes):
        for measurement, chart in zip(row, row_axes):
            draw_chart(chart, measurement, ticker)
        for chart in row_axes[len(row):]:
            chart.set_visible(False)
    figure.supxlabel(footnote(content), fontsize=7, x=0.01, ha='left')
    return figure


def main():
    args = parse_args()
    measurements = measured(args.content, args.only and args.only.split(','))
    if not measurements:
        sys.exit(f'{args.file.name} has no samples of such measurements')
    try:
        import matplotlib
        matplotlib.use('Agg')
        from matplotlib import pyplot, ticker
    except ImportError:
        sys.exit('plot.py needs matplotlib, which this python does not have')
    matplotlib.rcParams['svg.hashsalt'] = 'channels'    # the same file from the same samples
    figure = draw(pyplot, ticker, args.content, measurements)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.output, dpi=120,
                   metadata={'Date': None} if args.output.suffix == '.svg' else None)
    print(args.output.name)


if __name__ == '__main__':
    main()
