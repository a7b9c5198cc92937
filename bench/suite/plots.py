# SPDX-License-Identifier: MIT
"""SVG pictures without any library: bars per benchmark, and time against memory."""

import html
import math

COLOURS = {"ours": "#000000", "ours-secure": "#5f5f5f", "ours-guarded": "#9f9f9f", "glibc": "#d62728",
           "jemalloc": "#ff7f0e", "tcmalloc": "#2ca02c", "mimalloc2": "#17becf", "mimalloc3": "#1f77b4",
           "tbb": "#9467bd", "scudo": "#8c564b"}
FURTHER = ["#e377c2", "#bcbd22", "#7f7f7f", "#aec7e8", "#98df8a"]
LIMIT = 3.0  # a longer bar is cut, and labelled with its value
ROW_HEIGHT, ROW_GAP, MARGIN, BAR = 150, 80, 100, 7


def colour_of(names):
    further = iter(FURTHER * 9)
    return {name: COLOURS.get(name) or next(further) for name in names}


class Picture:
    def __init__(self, width, height):
        self.width, self.height, self.parts = width, height, []

    def rectangle(self, x, y, width, height, colour, title=""):
        self.parts.append('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"><title>%s</title></rect>' % (
            x, y, width, height, colour, html.escape(title)))

    def line(self, x1, y1, x2, y2, colour="#cccccc"):
        self.parts.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s"/>' % (x1, y1, x2, y2, colour))

    def circle(self, x, y, colour):
        self.parts.append('<circle cx="%.1f" cy="%.1f" r="6" fill="%s"/>' % (x, y, colour))

    def text(self, x, y, text, size=11, anchor="middle", turn=0):
        turned = ' transform="rotate(%d %.1f %.1f)"' % (turn, x, y) if turn else ""
        self.parts.append('<text x="%.1f" y="%.1f" font-size="%d" text-anchor="%s"%s>%s</text>' % (
            x, y, size, anchor, turned, html.escape(text)))

    def legend(self, x, y, colours):
        for name, colour in colours.items():
            self.rectangle(x, y - 9, 10, 10, colour)
            self.text(x + 14, y, name, anchor="start")
            x += 28 + 7 * len(name)

    def svg(self):
        return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif">\n'
                '<!-- SPDX-License-Identifier: MIT -->\n'
                '<rect width="100%%" height="100%%" fill="white"/>\n%s\n</svg>\n'
                % (self.width, self.height, "\n".join(self.parts)))


def draw_row(picture, top, groups, colours):
    """One row of groups of bars: [(label, {allocator: ratio})]."""
    bottom = top + ROW_HEIGHT
    for mark in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0):
        y = bottom - mark / LIMIT * ROW_HEIGHT
        picture.line(MARGIN, y, picture.width - 10, y, "#000000" if mark == 1.0 else "#dddddd")
        picture.text(MARGIN - 6, y + 4, "%.1f" % mark, size=10, anchor="end")
    x = MARGIN + 8
    for label, values in groups:
        picture.text(x + len(colours) * BAR / 2, bottom + 14, label, anchor="end", turn=-25)
        for name, colour in colours.items():
            value = values.get(name)
            if value:
                height = min(value, LIMIT) / LIMIT * ROW_HEIGHT
                picture.rectangle(x, bottom - height, BAR - 1, height, colour, "%s %s: %.2f" % (label, name, value))
                if value > LIMIT:
                    picture.text(x + BAR, top - 3, "%.1f" % value, size=9, anchor="start", turn=-60)
            x += BAR
        x += 14


def bars(title, groups, names):
    """Bars per benchmark, relative to ours; rows of as many benchmarks as fit."""
    colours = colour_of(names)
    group_width = len(colours) * BAR + 14
    per_row = max(1, 1150 // group_width)
    rows = [groups[i:i + per_row] for i in range(0, len(groups), per_row)]
    picture = Picture(MARGIN + 18 + per_row * group_width, 60 + len(rows) * (ROW_HEIGHT + ROW_GAP))
    picture.text(MARGIN, 18, title, size=14, anchor="start")
    picture.legend(MARGIN, 36, colours)
    for number, row in enumerate(rows):
        draw_row(picture, 64 + number * (ROW_HEIGHT + ROW_GAP), row, colours)
    return picture.svg()


def scatter(title, points):
    """Time against memory: {allocator: (time, memory)}, both relative, on logarithmic axes."""
    size, colours = 460, colour_of(points)
    spans = []
    for axis in (0, 1):
        logs = [math.log(point[axis]) for point in points.values()] + [0.0]
        spans.append((min(logs) - 0.1, max(logs) + 0.1))

    def place(value, axis):
        low, high = spans[axis]
        share = (math.log(value) - low) / (high - low)
        return 60 + share * size if axis == 0 else 40 + (1 - share) * size

    picture = Picture(size + 150, size + 90)
    picture.text(60, 20, title, size=14, anchor="start")
    for mark in (0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0):
        colour = "#000000" if mark == 1.0 else "#dddddd"
        if spans[0][0] <= math.log(mark) <= spans[0][1]:
            picture.line(place(mark, 0), 40, place(mark, 0), 40 + size, colour)
            picture.text(place(mark, 0), 56 + size, "%g" % mark)
        if spans[1][0] <= math.log(mark) <= spans[1][1]:
            picture.line(60, place(mark, 1), 60 + size, place(mark, 1), colour)
            picture.text(54, place(mark, 1) + 4, "%g" % mark, anchor="end")
    picture.text(60 + size / 2, 80 + size, "CPU time (left is faster)")
    picture.text(18, 40 + size / 2, "peak RSS (low is smaller)", turn=-90)
    for name, (x, y) in points.items():
        picture.circle(place(x, 0), place(y, 1), colours[name])
        picture.text(place(x, 0) + 9, place(y, 1) + 4, name, anchor="start")
    return picture.svg()
