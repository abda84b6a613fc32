"""CSS classes of common elements. They are literals, so that Tailwind finds them."""

_BUTTON = (
    "inline-flex h-8 shrink-0 select-none items-center justify-center gap-1.5 whitespace-nowrap"
    " rounded-md px-3 text-sm font-medium transition-colors duration-100"
    " disabled:opacity-50 aria-[busy=true]:opacity-70"
)
BUTTON = f"{_BUTTON} border border-line-strong bg-raised text-ink hover:bg-hover"
BUTTON_PRIMARY = f"{_BUTTON} bg-button text-on-button hover:bg-button-hover"
BUTTON_QUIET = f"{_BUTTON} text-soft hover:bg-hover hover:text-ink"
BUTTON_DANGER = f"{_BUTTON} bg-danger text-on-button hover:bg-danger-hover"
BUTTON_ICON = (
    "inline-flex size-8 shrink-0 items-center justify-center rounded-md text-soft"
    " transition-colors duration-100 hover:bg-hover hover:text-ink"
)

INPUT = (
    "h-9 w-full rounded-md border border-field-line bg-raised px-3 text-sm text-ink"
    " placeholder:text-faint focus-visible:outline-offset-0 aria-[invalid=true]:border-bad"
)
TEXT_AREA = f"{INPUT} h-auto min-h-20 py-2 leading-5"
# Space for the arrow that assets/app.css draws.
SELECT = f"{INPUT} select pr-8"
FILTER = "select h-8 rounded-md border border-field-line bg-raised pl-2.5 pr-8 text-sm text-ink"
CHECKBOX = "mt-0.5 size-4 shrink-0 accent-button"
LABEL = "text-sm font-medium text-ink"
FIELD_ERROR = "text-xs leading-4 text-bad"
FIELD_NEWER = "text-xs leading-4 text-warn"

DIALOG = (
    "dialog m-auto max-h-[calc(100dvh-2rem)] w-[28rem] max-w-[calc(100vw-2rem)] overflow-y-auto rounded-xl"
    " border border-line bg-raised text-ink"
)
MENU = "menu min-w-44 rounded-lg border border-line bg-raised p-1 text-ink"
MENU_ITEM = (
    "flex h-8 w-full items-center gap-2 rounded-md px-2 text-left text-sm text-ink outline-none"
    " hover:bg-hover focus:bg-hover"
)
MENU_ITEM_DANGER = (
    "flex h-8 w-full items-center gap-2 rounded-md px-2 text-left text-sm text-bad outline-none"
    " hover:bg-bad-soft focus:bg-bad-soft"
)

PANEL = "rounded-lg border border-line bg-raised"
LINK = "text-accent underline-offset-4 hover:underline"
CAPTION = "text-xs leading-4 text-faint"
EYEBROW = "text-xs font-medium leading-4 text-faint"
FIGURE = "text-2xl font-semibold leading-8 tabular-nums tracking-tight"

TABLE_FRAME = "relative overflow-x-auto rounded-lg border border-line bg-raised"
# A long table scrolls under its header.
TABLE_FRAME_TALL = f"{TABLE_FRAME} max-h-[70vh] overflow-y-auto [&_th]:sticky [&_th]:top-0 [&_th]:z-10"
TABLE = "w-full border-separate border-spacing-0 text-sm"
TH = "h-9 whitespace-nowrap border-b border-line bg-sunken px-3 text-left text-xs font-medium text-faint"
TH_NUMBER = (
    "h-9 whitespace-nowrap border-b border-line bg-sunken px-3 text-right text-xs font-medium text-faint"
)
# The link in the first cell covers the row, so that all of it can be clicked.
TR_LINK = "group relative hover:bg-hover focus-within:bg-hover [&:last-child>td]:border-b-0"
TR = "[&:last-child>td]:border-b-0"
TD = "h-10 whitespace-nowrap border-b border-line px-3 text-soft"
TD_MAIN = "h-10 border-b max-md:h-14 border-line px-3 font-medium text-ink"
TD_NUMBER = "h-10 whitespace-nowrap border-b border-line px-3 text-right tabular-nums text-soft"
TD_NOTHING = "h-10 whitespace-nowrap border-b border-line px-3 text-right tabular-nums text-faint"
TD_AMOUNT = "h-10 whitespace-nowrap border-b border-line px-3 text-right font-medium tabular-nums text-ink"
ROW_LINK = "outline-none after:absolute after:inset-0 focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent"
WIDE_ONLY = "hidden md:table-cell"
# Two short fields of a form next to each other.
FIELD_PAIR = "grid grid-cols-1 gap-4 sm:grid-cols-2 sm:gap-3"
# Shown in the first column instead of the columns that narrow screens hide.
NARROW_CAPTION = "truncate text-xs font-normal leading-4 text-faint md:hidden"

SEGMENTS = "inline-flex max-w-full flex-wrap gap-0.5 rounded-md bg-hover p-0.5"
_SEGMENT = "inline-flex h-7 items-center rounded px-2.5 text-sm font-medium transition-colors duration-100"
SEGMENT_CURRENT = f"{_SEGMENT} bg-raised text-ink shadow-[0_0_0_1px_var(--line-strong)]"
SEGMENT_OTHER = f"{_SEGMENT} text-soft hover:text-ink"

BADGE = "inline-flex h-5 items-center gap-1.5 whitespace-nowrap rounded-full px-2 text-xs font-medium"
BADGE_PLAIN = "inline-flex h-5 items-center gap-1.5 whitespace-nowrap text-sm text-soft"
BADGE_GOOD = f"{BADGE} bg-good-soft text-good"
BADGE_WARN = f"{BADGE} bg-warn-soft text-warn"
BADGE_BAD = f"{BADGE} bg-bad-soft text-bad"
BADGE_QUIET = f"{BADGE} bg-quiet-soft text-quiet"
BADGE_HOLD = f"{BADGE} bg-hold-soft text-hold"
BADGE_LATE = f"{BADGE} bg-late-soft text-late"

BONE = "animate-pulse rounded bg-bone"
# A long amount wraps rather than being cut off.
WRAPPED = "[overflow-wrap:anywhere]"
SCREEN_READER = "sr-only"
NOT_PRINTED = "print:hidden"
