"""Tailwind's names for the colours of assets/app.css, whose variables differ in light and dark."""

COLORS = {
    name: f"var(--{name})"
    for name in (
        *("ground", "sunken", "raised", "hover", "line", "line-strong", "field-line", "bone", "bar"),
        *("ink", "soft", "faint", "accent", "accent-soft"),
        *("button", "button-hover", "on-button", "danger", "danger-hover"),
        "beyond",
        *("chart-1", "chart-2", "chart-3"),
        *("good", "good-soft", "warn", "warn-soft", "bad", "bad-soft"),
        *("quiet", "quiet-soft", "hold", "hold-soft", "late", "late-soft"),
    )
}

TAILWIND = {
    "theme": {
        "extend": {
            "colors": COLORS,
            "fontFamily": {"sans": ["Inter", "ui-sans-serif", "system-ui", "sans-serif"]},
        }
    },
    "plugins": [],
}
