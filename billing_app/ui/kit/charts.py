"""Charts in a frame that can show the numbers as a table instead. state/kit/charts.py builds the points."""

from __future__ import annotations

from typing import Any, NamedTuple

import reflex as rx

from billing_app.state.kit.charts import Curve
from billing_app.ui.kit.basics import Text, icon

Points = rx.Var[list[dict[str, Any]]]
_QUIET = "var(--faint)"
COLORS = ("var(--chart-1)", "var(--chart-2)", "var(--chart-3)")
_SWATCHES = ("bg-chart-1", "bg-chart-2", "bg-chart-3")
_TICK = {"fill": "var(--faint)", "fontSize": 11}
# Hidden from screen readers, which read the numbers in the table.
_SILENT = {"accessibilityLayer": False}
_MARGIN = {"top": 8, "right": 8, "bottom": 0, "left": 0}


class Series(NamedTuple):
    """A series of a chart: its name in the points, and its label. A chart has at most three.

    A `quiet` series is only for comparison: a grey line behind the others.
    """

    key: str
    name: Text
    quiet: bool = False


def chart_frame(
    title: Text,
    scale: str,
    series: list[Series],
    points: Points,
    drawing: rx.Component,
    *,
    height: str = "h-56",
    columns: list[Series] | None = None,
) -> rx.Component:
    """Create a chart with a legend, and a switch to its table. `scale` is the title of the first column.

    `columns` has the series of the table if they differ from those of the chart. A point without a value
    keeps its place on the scale but is not in the table.
    """
    return rx.el.figure(
        rx.el.figcaption(
            rx.el.span(title, class_name="min-w-0 truncate text-sm font-semibold"),
            _meanings(series) if len(series) > 1 else rx.fragment(),
            rx.el.button(
                icon("table-2", 14),
                type="button",
                aria_label="Show as a table",
                title="Show as a table",
                class_name="-my-1 ml-auto inline-flex size-7 shrink-0 items-center justify-center rounded-md"
                " text-faint hover:bg-hover hover:text-ink aria-pressed:bg-hover aria-pressed:text-ink",
                custom_attrs={"data-action": "turn", "aria-pressed": "false"},
            ),
            class_name="mb-2 flex flex-wrap items-center gap-x-4 gap-y-1",
        ),
        rx.el.div(drawing, class_name=height, custom_attrs={"data-drawing": "", "aria-hidden": "true"}),
        rx.el.div(
            _numbers(scale, columns or series, points),
            class_name=f"{height} overflow-auto",
            tab_index=0,
            custom_attrs={"data-numbers": ""},
        ),
        class_name="min-w-0",
        custom_attrs={"data-frame": ""},
    )


def area_chart(series: list[Series], points: Points, **scales: Any) -> rx.Component:
    """Create a chart of a quantity over time."""
    # The first one is drawn behind the others.
    drawn = sorted(zip(series, COLORS, strict=False), key=lambda pair: not pair[0].quiet)
    areas = [_area(each, _QUIET if each.quiet else color) for each, color in drawn]
    return rx.recharts.area_chart(
        *_scales(**scales), *areas, data=points, margin=_MARGIN, custom_attrs=_SILENT
    )


def _area(each: Series, color: str) -> rx.Component:
    dot = {"stroke": "var(--raised)", "strokeWidth": 2, "fill": color, "r": 4}
    return rx.recharts.area(
        data_key=each.key,
        name=each.name,
        stroke=color,
        fill=color,
        stroke_width=1.5 if each.quiet else 2,
        type_="linear",
        is_animation_active=False,
        active_dot=dot,
        custom_attrs={"fillOpacity": 0 if each.quiet else 0.1},
    )


def bar_chart(series: list[Series], points: Points, *, stacked: bool = True, **scales: Any) -> rx.Component:
    """Create a bar chart of amounts by month or group, stacked if they add up to a total.

    Negative amounts are stacked below zero.
    """
    bars = [
        rx.recharts.bar(
            data_key=each.key,
            name=each.name,
            fill=color,
            max_bar_size=40,
            is_animation_active=False,
            **({"stack_id": "all"} if stacked else {}),
        )
        for each, color in zip(series, COLORS, strict=False)
    ]
    return rx.recharts.bar_chart(
        *_scales(**scales),
        *bars,
        data=points,
        margin=_MARGIN,
        custom_attrs={**_SILENT, "stackOffset": "sign"},
    )


def curve_chart(each: Series, curve: rx.Var[Curve], *, unit: Text = "") -> rx.Component:
    """Create a line of four points that looks like an area chart but renders faster, for pages with many."""
    return rx.el.div(
        rx.el.div(
            rx.foreach(curve.marks, lambda mark: rx.el.span(unit, _in_short(mark))),
            # Without height, so that each label is centered on its line.
            class_name="absolute bottom-5 left-0 top-2 flex w-9 flex-col justify-between text-right leading-[0]",
        ),
        _line(curve.line),
        rx.el.div(
            rx.foreach(curve.points, lambda point: _stop(each, point)),
            class_name="absolute inset-y-0 left-11 right-2 flex",
        ),
        class_name="relative h-full text-[11px] text-faint",
    )


def _line(line: rx.Var[str]) -> rx.Component:
    even = {"vectorEffect": "non-scaling-stroke"}
    return rx.el.svg(
        rx.el.svg.path(d="M0,0H100M0,50H100M0,100H100", stroke="var(--line)", custom_attrs=even),
        rx.el.svg.polygon(points=f"0,100 {line} 100,100", fill=COLORS[0], custom_attrs={"fillOpacity": 0.1}),
        rx.el.svg.polyline(
            points=line, stroke=COLORS[0], fill="none", custom_attrs={**even, "strokeWidth": 2}
        ),
        view_box="0 0 100 100",
        custom_attrs={"preserveAspectRatio": "none"},
        class_name="absolute left-11 top-2 h-[calc(100%-1.75rem)] w-[calc(100%-3.25rem)] overflow-visible",
    )


def _stop(each: Series, point: Any) -> rx.Component:
    """Create the area around a point, with its label, and its mark and number on hover."""
    place = "absolute left-1/2 group-first/stop:left-0 group-last/stop:left-full"
    return rx.el.div(
        rx.el.div(
            rx.el.div(
                class_name="absolute -left-[2.5px] -mt-[3px] size-1.5 rounded-full bg-chart-1 ring-2 ring-raised",
                custom_attrs={"style": {"top": point["top"]}},
            ),
            rx.el.div(
                rx.el.div(point["label"], class_name="font-medium text-ink"),
                rx.el.div(each.name, " : ", point[f"{each.key}_text"], class_name="text-soft"),
                class_name="absolute left-3 top-0 z-10 whitespace-nowrap rounded-lg border border-line-strong"
                " bg-raised px-2.5 py-2 text-xs group-nth-[n+3]/stop:left-auto group-nth-[n+3]/stop:right-3",
            ),
            class_name=f"{place} bottom-5 top-2 hidden w-px bg-line-strong group-hover/stop:block",
        ),
        rx.el.span(
            _in_short(point["x"]),
            class_name=f"{place} -bottom-0.5 -translate-x-1/2",
        ),
        class_name="group/stop relative flex-2 first:flex-1 last:flex-1",
    )


def _in_short(number: rx.Var[Any]) -> rx.Var[str]:
    return rx.Var(f"window.tallybook.formatCompactly({number!s})", _var_data=number._get_all_var_data())


def level(value: Any, label: Text) -> rx.Component:
    """Create a horizontal line, such as the included units. Pass it as `extra=`."""
    return rx.recharts.reference_line(
        # Reflex's type allows only integers, but the chart accepts any number.
        y=value.to(int) if isinstance(value, rx.Var) else value,
        stroke="var(--line-strong)",
        custom_attrs={"strokeDasharray": "4 4", "ifOverflow": "extendDomain", "label": {"value": label, "position": "insideTopRight",
                      "fill": "var(--faint)", "fontSize": 11}},
    )  # fmt: skip


_TOOLTIP = {
    "background": "var(--raised)",
    "border": "1px solid var(--line-strong)",
    "borderRadius": "8px",
    "padding": "8px 10px",
    "fontSize": "12px",
    "lineHeight": "16px",
}


def _scales(
    *, unit: Text = "", compact: bool = False, extra: rx.Component | None = None
) -> list[rx.Component]:
    """Create a light grid, axes that start at zero, and a tooltip with the texts of the points."""
    axis = {"axis_line": False, "tick_line": False, "tick": _TICK, "stroke": "var(--line)"}
    return [
        rx.recharts.cartesian_grid(
            vertical=False, stroke="var(--line)", custom_attrs={"strokeDasharray": ""}
        ),
        rx.recharts.x_axis(
            data_key="label",
            **axis,
            height=20,
            min_tick_gap=24,
            tick_count=4,
            custom_attrs={"tickFormatter": _label(), "interval": "preserveStartEnd"},
        ),
        rx.recharts.y_axis(
            **axis,
            width=44,
            domain=[0, "auto"],
            tick_count=3 if compact else 5,
            custom_attrs={"tickFormatter": _short(unit)},
        ),
        rx.recharts.graphing_tooltip(
            is_animation_active=False,
            cursor={"stroke": "var(--line-strong)", "fill": "var(--hover)"},
            content_style=_TOOLTIP,
            label_style={"color": "var(--ink)", "fontWeight": 500},
            item_style={"color": "var(--soft)", "padding": 0},
            custom_attrs={
                "formatter": rx.Var("((value, name, item) => [item.payload[item.dataKey + '_text'], name])"),
                "labelFormatter": rx.Var("((label, items) => items?.[0]?.payload?.label ?? label)"),
            },
        ),
        *([extra] if extra is not None else []),
    ]


def _label() -> rx.Var[Any]:
    """Shorten a label on the axis: `October 2026` to `Oct`. The tooltip has the whole label."""
    return rx.Var("((text) => text.replace(/^([A-Z][a-z]{2})[a-z]* [0-9]{4}$/, '$1'))")


def _short(unit: Text) -> rx.Var[Any]:
    """Shorten a tick: `$1.2K`. The tooltip and the table have exact numbers."""
    sign = rx.Var.create(unit)
    return rx.Var(
        "((number) => (number < 0 ? '\N{MINUS SIGN}' : '')"
        f" + {sign!s} + window.tallybook.formatCompactly(Math.abs(number)))",
        _var_data=sign._get_all_var_data(),
    )


def _meanings(series: list[Series]) -> rx.Component:
    return rx.el.ul(
        *[
            rx.el.li(
                rx.el.span(
                    class_name="h-0.5 w-3 bg-faint" if each.quiet else f"size-2 rounded-sm {swatch}",
                    aria_hidden=True,
                ),
                each.name,
                class_name="inline-flex items-center gap-1.5",
            )
            for each, swatch in zip(series, _SWATCHES, strict=False)
        ],
        class_name="flex flex-wrap gap-x-3 text-xs text-soft",
    )


def _numbers(scale: str, series: list[Series], points: Points) -> rx.Component:
    head = "sticky top-0 bg-raised py-1 text-xs font-medium text-faint"
    number = "border-t border-line py-1 text-right"
    return rx.el.table(
        rx.el.thead(
            rx.el.tr(
                rx.el.th(scale, scope="col", class_name=f"{head} text-left"),
                *[rx.el.th(each.name, scope="col", class_name=f"{head} text-right") for each in series],
            )
        ),
        rx.el.tbody(
            rx.foreach(
                points,
                lambda point: rx.cond(
                    point[f"{series[0].key}_text"],
                    rx.el.tr(
                        rx.el.th(
                            point["label"],
                            scope="row",
                            class_name=f"{number} !text-left font-normal text-soft",
                        ),
                        *[rx.el.td(point[f"{each.key}_text"], class_name=number) for each in series],
                    ),
                ),
            )
        ),
        class_name="w-full text-xs tabular-nums",
    )
