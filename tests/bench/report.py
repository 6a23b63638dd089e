# SPDX-License-Identifier: Apache-2.0
"""What the measuring programs share: running others, targets with a table, JSON and plots. The SVGs are written by hand, so that nothing
but Python is needed to make them."""
import json
import statistics
import subprocess
import sys

MET, BELOW, OTHER = "#1b6ca8", "#c0504d", "#b0b7c3"


def say(text):
    """What is going on, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r{text:<78}", end="", file=sys.stderr, flush=True)


def check(*command, **options):
    """Standard output of a program that must succeed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
    return done.stdout


class Target:
    """A figure of each round beside what is wanted of their median: at least that much, or at most."""

    def __init__(self, name, values, wanted, at_most=False, unit="", note=""):
        self.name, self.values, self.wanted, self.at_most, self.unit, self.note = name, list(values), wanted, at_most, unit, note
        self.value = statistics.median(self.values)
        self.met = self.value <= wanted if at_most else self.value >= wanted
        # How far it is: 1 is the target, more is better, whichever way it is asked.
        self.share = (wanted / self.value if self.value else float("inf")) if at_most else self.value / wanted

    def as_json(self):
        return {"name": self.name, "values": self.values, "median": self.value, "at_most" if self.at_most else "at_least": self.wanted,
                "unit": self.unit, "met": self.met, "note": self.note}


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def table(targets):
    width = max(len(t.name) for t in targets) + 2
    print(f"\n  {'what':<{width}}{'measured':>14}{'(rounds)':>24}{'wanted':>18}")
    for t in targets:
        spread = f"({number(min(t.values))} to {number(max(t.values))})" if len(t.values) > 1 else ""
        wanted = f"{'<=' if t.at_most else '>='} {number(t.wanted)}{t.unit}"
        print(f"  {t.name:<{width}}{number(t.value) + t.unit:>14}{spread:>24}{wanted:>18}  {'met' if t.met else 'below'}")
        if t.note:
            print(f"  {'':<6}{t.note}")


def write_json(path, data, targets):
    with open(path, "w", encoding="utf-8") as f:
        json.dump({**data, "targets": [t.as_json() for t in targets]}, f, indent=1)


class Svg:
    def __init__(self, width, height, title):
        self.out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
                    f'<rect width="{width}" height="{height}" fill="white"/>']
        self.text(20, 22, title, 'font-size="15"')

    def text(self, x, y, text, more=""):
        text = str(text).replace("&", "&amp;").replace("<", "&lt;")
        self.out.append(f'<text x="{x:.1f}" y="{y:.1f}" {more}>{text}</text>')

    def bar(self, x, y, width, height, colour):
        self.out.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>')

    def write(self, path):
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(self.out + ["</svg>"]) + "\n")


def plot_groups(path, title, groups, series, values):
    """Upright bars, a group for each name. `series`: key, what it is called, colour. `values`: by (group, key), some may be missing."""
    top, height = max(values.values()), 260
    svg = Svg(40 + 180 * len(groups), height + 90, title)
    for i, group in enumerate(groups):
        x = 40 + i * 180
        for k, (key, _, colour) in enumerate(series):
            if (group, key) in values:
                h = values[group, key] / top * (height - 60)
                svg.bar(x + k * 48, height - h, 42, h, colour)
                svg.text(x + k * 48 + 21, height - h - 4, f"{values[group, key]:.0f}", 'text-anchor="middle"')
        svg.text(x, height + 20, group)
    for k, (_, called, colour) in enumerate(series):
        svg.bar(40 + k * 120, height + 45, 12, 12, colour)
        svg.text(58 + k * 120, height + 56, called)
    svg.write(path)


def plot_targets(path, title, targets):
    """A bar each, as long as the target is reached: up to the line, or beyond it."""
    left, scale, most = 380, 130, 2.5
    svg = Svg(left + scale * most + 170, 70 + 24 * len(targets), title)
    for i, t in enumerate(targets):
        y = 44 + 24 * i
        svg.text(20, y + 12, t.name)
        svg.bar(left, y, max(1, min(t.share, most) * scale), 16, MET if t.met else BELOW)
        svg.text(left + scale * most + 10, y + 12, f"{number(t.value)}{t.unit} ({'<=' if t.at_most else '>='} {number(t.wanted)})")
    svg.bar(left + scale, 36, 1.5, 24 * len(targets) + 4, "black")
    svg.text(left + scale, 58 + 24 * len(targets), "wanted", 'text-anchor="middle"')
    svg.write(path)
