"""The look as named class strings: literal, so that Tailwind finds them, and each in one place."""

_BUTTON = (
    "inline-flex h-8 shrink-0 select-none items-center justify-center gap-1.5 whitespace-nowrap"
    " rounded-md px-3 text-sm font-medium transition-colors duration-100"
    " disabled:opacity-50 aria-[busy=true]:opacity-70"
)
BUTTON = f"{_BUTTON} border border-line-strong bg-raised text-ink hover:bg-hover"
BUTTON_PRIMARY = f"{_BUTTON} bg-button text-on-button hover:bg-button-hover"
BUTTON_QUIET = f"{_BUTTON} text-soft hover:bg-hover hover:text-ink"
BUTTON_ICON = (
    "inline-flex size-8 shrink-0 items-center justify-center rounded-md text-soft"
    " transition-colors duration-100 hover:bg-hover hover:text-ink"
)

INPUT = (
    "h-9 w-full rounded-md border border-field-line bg-raised px-3 text-sm text-ink"
    " placeholder:text-faint focus-visible:outline-offset-0"
)
LABEL = "text-sm font-medium text-ink"

PANEL = "rounded-lg border border-line bg-raised"
LINK = "text-accent underline-offset-4 hover:underline"
CAPTION = "text-xs leading-4 text-faint"
EYEBROW = "text-xs font-medium leading-4 text-faint"
FIGURE = "text-2xl font-semibold leading-8 tabular-nums tracking-tight"

TABLE_FRAME = "overflow-x-auto rounded-lg border border-line bg-raised"
TABLE = "w-full border-separate border-spacing-0 text-sm"
TH = "h-9 whitespace-nowrap border-b border-line bg-sunken px-3 text-left text-xs font-medium text-faint"
TH_NUMBER = (
    "h-9 whitespace-nowrap border-b border-line bg-sunken px-3 text-right text-xs font-medium text-faint"
)
# The link in the first cell is stretched over the row, so that all of it can be clicked.
TR_LINK = "group relative hover:bg-hover focus-within:bg-hover [&:last-child>td]:border-b-0"
TR = "[&:last-child>td]:border-b-0"
TD = "h-10 whitespace-nowrap border-b border-line px-3 text-soft"
TD_MAIN = "h-10 border-b max-md:h-14 border-line px-3 font-medium text-ink"
TD_NUMBER = "h-10 whitespace-nowrap border-b border-line px-3 text-right tabular-nums text-soft"
TD_NOTHING = "h-10 whitespace-nowrap border-b border-line px-3 text-right tabular-nums text-faint"
TD_AMOUNT = "h-10 whitespace-nowrap border-b border-line px-3 text-right font-medium tabular-nums text-ink"
ROW_LINK = "outline-none after:absolute after:inset-0 focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
WIDE_ONLY = "hidden md:table-cell"
# What the columns that are not shown on a narrow screen would say, under the first one.
NARROW_CAPTION = "truncate text-xs font-normal leading-4 text-faint md:hidden"

BADGE = "inline-flex h-5 items-center gap-1.5 whitespace-nowrap rounded-full px-2 text-xs font-medium"
BADGE_PLAIN = "inline-flex h-5 items-center gap-1.5 whitespace-nowrap text-sm text-soft"
BADGE_GOOD = f"{BADGE} bg-good-soft text-good"
BADGE_WARN = f"{BADGE} bg-warn-soft text-warn"
BADGE_BAD = f"{BADGE} bg-bad-soft text-bad"
BADGE_QUIET = f"{BADGE} bg-quiet-soft text-quiet"
BADGE_HOLD = f"{BADGE} bg-hold-soft text-hold"
BADGE_LATE = f"{BADGE} bg-late-soft text-late"

BONE = "animate-pulse rounded bg-bone"
SCREEN_READER = "sr-only"
NOT_PRINTED = "print:hidden"
